"""defaults < profile < detector < detector's profile < --set."""

from pathlib import Path

import pytest
from manifest_text import MANIFEST

from harness.cli.options import parse_detections
from harness.manifest.schema import Use


def test_each_layer_is_stronger_than_the_one_below(load):
    suite = load().suite
    one, two = suite.detectors["one"].train, suite.detectors["two"].train
    assert one.steps == two.steps == 100
    assert one.batch_size == two.batch_size == 2
    assert (one.optimizer.lr, two.optimizer.lr) == (0.25, 0.125)
    assert (one.optimizer.momentum, two.optimizer.momentum) == (0.7, 0.8)
    assert (suite.evaluate.batch_size, suite.evaluate.max_images) == (4, 7)
    assert suite.data == Use(use="synthetic")


def test_the_chosen_profile_alone_counts(load):
    suite = load(profile="long").suite
    assert suite.profile == "long"
    assert suite.data == Use(use="coco", params={"root": "data/coco"})
    assert [suite.detectors[name].train.batch_size for name in ("one", "two")] == [8, 32]
    assert suite.detectors["one"].train.optimizer.momentum == 0.8
    assert suite.evaluate.max_images is None


def test_overrides_are_strongest_and_the_last_one_wins(load):
    sets = ["detectors.one.train.batch_size=9", "detectors.*.train.batch_size=3", "seeds=[4, 5]"]
    suite = load(sets=sets).suite
    assert {d.train.batch_size for d in suite.detectors.values()} == {3}
    assert suite.seeds == (4, 5)


def test_files_of_detections_become_detectors_by_their_own_names(load):
    files = parse_detections(["x/yolo.v8.json", "new=y: [z].json", "whole=w.json"])
    text = MANIFEST.replace("    detector: ssdlite", "    detections: old.json")
    found = load(text, sets=files).suite.detectors
    assert {name: one.detections for name, one in found.items() if one.detections} == {
        "whole": "w.json", "yolo.v8": "x/yolo.v8.json", "new": "y: [z].json"
    }  # fmt: skip


def test_a_file_whose_path_has_an_equals_sign_needs_no_name_before_it(tmp_path: Path):
    path = tmp_path / "lr=0.1" / "yolo.json"
    path.parent.mkdir()
    path.write_text("[]")
    named, alone = parse_detections([f"new={path}", str(path)])
    assert (alone.path[1], alone.value) == ("yolo", str(path))
    assert (named.path[1], named.value) == ("new", str(path))


def test_without_profiles_there_is_the_usual_one(load):
    text = "suite: s\ndefaults: {data: d, meters: [m]}\ndetectors: {a: {detections: f.json}}\n"
    assert load(text).profile == load(text, "quick").suite.profile == "quick"


def test_parameters_merge_under_the_same_plugin_and_go_with_another(load):
    detectors = load().suite.detectors
    assert detectors["one"].neck == Use(
        use="tiny_fpn", params={"channels": 245, "groups": [7, 5, 1, 1]}
    )
    assert detectors["two"].neck == Use(use="other_neck")
    named = MANIFEST.replace("neck: other_neck", "neck: {use: other_neck, params: {a: 1}}")
    assert load(named).suite.detectors["two"].neck == Use(use="other_neck", params={"a": 1})


def test_whole_detectors_inherit_the_schedule_but_no_parts(load):
    whole = load().suite.detectors["whole"]
    assert whole.detector == Use(use="ssdlite")
    assert whole.neck is None
    assert whole.train.batch_size == 2
    assert whole.input.size == (320, 320)


def test_detectors_do_not_share_what_they_inherit(load):
    sets = ["detectors.one.train.optimizer.weight_decay=0.5"]
    detectors = load(sets=sets).suite.detectors
    assert detectors["one"].train.optimizer.weight_decay == 0.5
    assert "weight_decay" not in detectors["two"].train.optimizer.use.params


def test_without_a_profile_quick_is_taken_else_the_first(load):
    assert load().suite.profile == "quick"
    renamed = MANIFEST.replace("quick:", "brief:")
    assert load(renamed).suite.profile == "brief"


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("detectors.one.neck.params.channels=10", "neck", {"channels": 10}),
        ("detectors.one.rpn.params.scale=2", "rpn", {"scale": 2}),
        ("detectors.one.backbone.params={a: [1, x]}", "backbone", {"a": [1, "x"]}),
        ("detectors.one.rpn.params.scale=", "rpn", {"scale": None}),
        ("detectors.one.rpn.params.name=a=b", "rpn", {"name": "a=b"}),
        ("detectors.one.rpn.params.lr=1e-3", "rpn", {"lr": 0.001}),
    ],
)
def test_overrides_reach_into_parts_named_by_a_bare_word(load, text, path, value):
    part = getattr(load(sets=[text]).suite.detectors["one"], path)
    assert value.items() <= part.params.items()


def test_another_part_by_override_brings_no_parameters_of_the_old_one(load):
    suite = load(sets=["detectors.one.neck=other_neck"]).suite
    assert suite.detectors["one"].neck == Use(use="other_neck")


@pytest.mark.parametrize(
    ("change", "name", "params"),
    [
        ("{name: sgd, nesterov: true}", "sgd", {"lr": 0.25, "momentum": 0.8, "nesterov": True}),
        ("{name: adamw}", "adamw", {"lr": 0.25}),
        ("{name: adamw, lr: 0.5}", "adamw", {"lr": 0.5}),
    ],
)
def test_another_optimiser_inherits_what_every_one_has(load, change, name, params):
    text = MANIFEST.replace("{optimizer: {momentum: 0.7}}", f"{{optimizer: {change}}}")
    found = load(text).suite.detectors["one"].train.optimizer
    assert (found.name, found.use.params) == (name, params)


def test_a_schedule_by_a_bare_word_and_its_params_by_override(load):
    text = MANIFEST.replace("{steps: 100,", "{steps: 100, schedule: constant,")
    sets = ["detectors.one.train.schedule.warmup_steps=3"]
    detectors = load(text, sets=sets).suite.detectors
    assert detectors["one"].train.schedule.use == Use(use="constant", params={"warmup_steps": 3})
    assert detectors["two"].train.schedule.use == Use(use="constant")
    assert load().suite.detectors["one"].train.schedule.use == Use(use="cosine")


def test_another_optimiser_by_override_brings_no_parameters_of_the_old_one(load):
    found = load(sets=["detectors.one.train.optimizer.name=adamw"]).suite.detectors["one"].train
    assert found.optimizer.use == Use(use="adamw", params={"lr": 0.25})
    sets = ["detectors.two.train.optimizer.name=sgd", "detectors.two.train.schedule.name=constant"]
    train = load(sets=sets).suite.detectors["two"].train
    assert train.optimizer.use.params == {"lr": 0.125, "momentum": 0.8}
    assert train.schedule.use == Use(use="constant")
