"""Plans: pure, complete, and with fingerprints of what determines a number and nothing else."""

# ruff: noqa: E501  a line of a table is a change or a mistake and what it leads to

import json
from itertools import product
from pathlib import Path

import pytest
from tiny_suite import make_coco

from harness.errors import UserError
from harness.manifest.schema import PRECISIONS
from harness.manifest.suite import load_manifest
from harness.plan.cells import Plan, name_mode, split_mode
from harness.plan.fingerprints import detector_identity
from harness.plan.planner import make_plan, resolved
from harness.plugin.manager import load_plugins

MANIFEST = """\
suite: demo
defaults:
  data: {{use: coco, params: {{root: {root}}}}}
  meters: [coco_ap, macs_paper, parameters, latency]
  columns: [ap]
  detector:
    input: {{size: 320}}
    neck: {{use: tiny_fpn, params: {{groups: [7, 5, 1, 1]}}}}
    rpn: {{use: tiny_rpn, params: {{anchor_scale: 2.25}}}}
    roi_op: {{use: psroi_align_max, params: {{strides: [8, 16], finest_scale: 30}}}}
    box_head: tiny_box_head
    train: {{steps: 10}}
profiles: {{quick: {{}}}}
detectors:
  one: {{backbone: mobilenetv3_d}}
  two: {{backbone: mobilenetv3_d, train: {{steps: 20}}}}
  whole: {{detector: ssdlite320_mobilenet_v3_large}}
published:
  - {{detector: one, metric: ap, value: 0.5, unit: AP, split: val, source: x}}
"""
MODES = load_plugins().names("mode")
STAGES = ("train", "evaluate", "cost", "latency")


@pytest.fixture(scope="module")
def registry():
    return load_plugins()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    make_coco(folder / "coco")
    (folder / "m.yaml").write_text(MANIFEST.format(root=folder / "coco"))
    return folder / "m.yaml"


@pytest.fixture
def plan(manifest: Path, registry):
    def make(*sets: str, path: Path = manifest, **choices: object) -> Plan:
        return make_plan(load_manifest(path, None, sets), registry, **choices)

    return make


def prints(plan: Plan, detector: str = "one") -> dict[str, str]:
    chosen = [c for c in plan.cells if c.detector == detector and c.seed == 0]
    return {c.stage: c.fingerprint for c in reversed(chosen)}  # of several modes, the first


def test_cells_are_detectors_by_seeds_by_stages_in_the_order_of_the_data(plan):
    cells = plan("seeds=[0, 4]").cells
    assert len(cells) == 3 * 2 * 4
    assert [(c.detector, c.seed, c.stage) for c in cells[:5]] == [
        ("one", 0, "train"), ("one", 0, "evaluate"), ("one", 0, "cost"), ("one", 0, "latency"),
        ("one", 4, "train"),
    ]  # fmt: skip
    assert len({c.fingerprint for c in cells}) == len(cells)


def test_stages_and_seeds_come_once_and_in_order(plan):
    for made in (
        plan("stages=[cost, train, cost]", "seeds=[3, 3, 1]"),
        plan(stages=["cost", "train"], seeds=[3, 3, 1]),
    ):
        assert [(c.seed, c.stage) for c in made.cells if c.detector == "one"] == [
            (3, "train"), (3, "cost"), (1, "train"), (1, "cost"),
        ]  # fmt: skip


def test_a_plan_is_the_same_every_time(plan):
    assert plan().fingerprint == plan().fingerprint
    assert json.dumps(resolved(plan()), default=str) == json.dumps(resolved(plan()), default=str)


EVERY = set(STAGES)
CHANGES = [
    ("detectors.one.neck.params.channels=490", EVERY),
    ("detectors.one.backbone=mobilenetv3_bc", EVERY),
    ("detectors.one.input.size=352", EVERY),
    ("detectors.one.input.mean=[0, 0, 0]", EVERY),
    ("detectors.one.checkpoint=a.pth", EVERY),
    ("detectors.one.backbone_checkpoint=a.pth", EVERY),
    ("detectors.one.train.steps=11", EVERY),
    ("detectors.one.train.batch_size=3", EVERY),
    ("detectors.one.train.optimizer.lr=0.5", EVERY),
    ("detectors.one.train.schedule.warmup_steps=1", EVERY),
    ("detectors.one.train.schedule=constant", EVERY),
    ("detectors.one.train.optimizer=adamw", EVERY),
    ("detectors.one.train.augment=none", EVERY),
    ("detectors.one.train.close_augment=2", EVERY),
    ("detectors.one.train.ema={decay: 0.9}", EVERY),
    ("detectors.one.train.augment=[paper, flip]", EVERY),
    ("detectors.one.train.augment=[paper, {use: hsv, params: {hue: 4}}]", EVERY),
    ("detectors.one.train.precision=bfloat16", EVERY),
    ("detectors.one.train.ema_decay=0.9", EVERY),
    ("detectors.one.train.background=drop", EVERY),
    ("detectors.one.train.background=0.3", EVERY),
    ("evaluate.max_images=3", {"evaluate"}),
    ("latency.runs=7", {"latency"}),
    ("latency.batch_size=2", {"latency"}),
    ("latency.modes=[fused]", {"latency"}),
    ("latency.precisions=[tf32]", {"latency"}),
    ("meters=[{use: coco_ap, params: {backend: pycocotools}}, macs_paper, parameters, latency]", {"evaluate"}),
    ("meters=[coco_ap, parameters, latency]", {"cost"}),
    ("meters=[coco_ap, macs_paper, parameters]", {"latency"}),
    # nothing of these determines a number
    ("detectors.one.train.workers=7", set()),
    ("detectors.one.train.cache_gib=0", set()),
    ("detectors.one.train.log_every=7", set()),
    ("detectors.one.train.evaluate_every=1", set()),
    ("detectors.one.train.evaluate_images=7", set()),
    ("evaluate.workers=7", set()),
    ("evaluate.cache_gib=0.5", set()),
    ("evaluate.batch_size=7", set()),
    ("columns=[ap50]", set()),
    ("detectors.two.train.steps=99", set()),
    ("detectors.two.backbone=mobilenetv3_bc", set()),
    ("published=[]", set()),
    ("gates=[{metric: latency, against: results/earlier, at_most: 1.05, of: ratio}]", set()),
    ("suite=renamed", set()),
    ("seeds=[0, 9]", set()),
    ("latency.modes=[eager, fused]", set()),  # of the cell of eager
    ("latency.check_images=7", set()),  # nothing is checked
    ("stages=[train, evaluate, latency, cost]", set()),
    ("detectors.one.train.optimizer={name: sgd, lr: 2e-2}", set()),  # as without
    ("detectors.one.train.schedule.warmup_steps=500", set()),
    ("detectors.one.train.augment=[paper]", set()),
    ("detectors.one.train.background=keep", set()),
    ("detectors.one.neck.params.groups=[7, 5, 1, 1]", set()),
    ("detectors.one.input.size=[320, 320]", set()),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_fingerprints_change_with_what_determines_the_number(
    plan, change: str, expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("a.pth").write_bytes(b"weights")
    before, after = prints(plan()), prints(plan(change))
    assert {stage for stage in STAGES if before[stage] != after[stage]} == expected


def test_a_fingerprint_without_background_images_is_that_of_before_there_was_the_choice(plan):
    made = plan("detectors.one.train.background=drop")
    trained = {name: detector_identity(made, name)["train"] for name in ("one", "two")}
    assert "background" not in trained["one"]
    assert trained["two"]["background"] == "keep"


def test_fingerprints_change_with_the_data(plan, tmp_path: Path):
    other = make_coco(tmp_path / "other", images=5)
    same = make_coco(tmp_path / "same")
    before = prints(plan())
    assert set(before.values()) & set(prints(plan(data_root=str(other))).values()) == set()
    assert prints(plan(data_root=str(same))) == before


def test_fingerprints_change_with_the_plugin(manifest: Path, tmp_path: Path):
    def fingerprint(extra: str) -> str:
        file = tmp_path / "versioned_backbone.py"
        file.write_text(
            "from harness.plugin.declarations import Backbone, NoParams\n"
            "from harness.plugin.hookspecs import hookimpl\n"
            "@hookimpl\n"
            "def harness_backbones():\n"
            f"    return [Backbone('mine', 'x:y', NoParams, 's')]  # {extra}\n"
        )
        chosen = load_manifest(manifest, None, ["detectors.one.backbone=mine"])
        return prints(make_plan(chosen, load_plugins([str(file)])))["train"]

    assert fingerprint("a") == fingerprint("a") != fingerprint("b")


def test_fingerprints_change_with_the_bytes_of_the_weights(plan, tmp_path: Path):
    weights = tmp_path / "w.pth"
    found = []
    for content in (b"a", b"b", b"a"):
        weights.write_bytes(content)
        found.append(prints(plan(f"detectors.one.checkpoint={weights}"))["evaluate"])
    assert found[0] == found[2] != found[1]


MISTAKES = [
    ("detectors.one.backbone=mobilenetv3_x", {}, "no backbone is called 'mobilenetv3_x' (did you mean 'mobilenetv3_d'?"),
    ("detectors.one.rpn=tiny_rnp", {}, "no rpn is called 'tiny_rnp' (did you mean 'tiny_rpn'?"),
    ("data.use=cocoo", {}, "no dataset is called 'cocoo' (did you mean 'coco'?"),
    ("meters=[coco_ap, latncy]", {}, "no meter is called 'latncy' (did you mean 'latency'?"),
    ("detectors.one.rpn.params.anchor_scael=3", {}, "detectors.one.rpn.params.anchor_scael: unknown key 'anchor_scael' (did you mean 'anchor_scale'?"),
    ("detectors.one.rpn.params.anchor_scale=wide", {}, "detectors.one.rpn.params.anchor_scale: input should be a valid number"),
    ("detectors.one.train.optimizer=adam", {}, "detectors.one.train.optimizer.name: no optimizer is called 'adam' (did you mean 'adamw'?"),
    ("detectors.one.train.optimizer.lrr=1", {}, "detectors.one.train.optimizer.lrr: unknown key 'lrr' (did you mean 'lr'?"),
    ("detectors.one.train.optimizer.lr=-1", {}, "detectors.one.train.optimizer.lr: input should be greater than 0, not -1"),
    ("detectors.one.train.optimizer={nesterov: true, momentum: 0}", {}, "detectors.one.train.optimizer: 'nesterov' needs a momentum"),
    ("detectors.one.train.schedule.name=cosin", {}, "detectors.one.train.schedule.name: no schedule is called 'cosin' (did you mean 'cosine'?"),
    ("detectors.one.train.schedule.warmup_stesp=1", {}, "detectors.one.train.schedule.warmup_stesp: unknown key 'warmup_stesp' (did you mean 'warmup_steps'?"),
    ("detectors.one.train.schedule.warmup_steps=5 epoch s", {}, "detectors.one.train.schedule.warmup_steps: should be steps (500), a share of the training (0.05) or '15 epochs', not '5 epoch s'"),
    ("detectors.one.train.close_augment=two", {}, "detectors.one.train.close_augment: should be steps (500), a share of the training (0.05) or '15 epochs', not 'two'"),
    ("detectors.one.train={ema_decay: 0.9, ema: {decay: 0.9}}", {}, "detectors.one.train: give 'ema' or 'ema_decay', not both"),
    ("detectors.one.train.augment=mosiac", {}, "detectors.one.train.augment.0.use: no augmentation is called 'mosiac' (did you mean 'mosaic'?"),
    ("detectors.one.train.augment=[flip, {use: hsv, params: {heu: 1}}]", {}, "detectors.one.train.augment.1.params.heu: unknown key 'heu' (did you mean 'hue'?"),
    ("detectors.one.train.augment=[{use: mosaic, params: {scale: [2, 1]}}]", {}, "detectors.one.train.augment.0.params.scale: should be [least, most], not [2, 1]"),
    ("detectors.one.train.augment=[]", {}, "detectors.one.train.augment: "),
    ("columns=[ap, ap_smal]", {}, "no meter of this suite writes the metric 'ap_smal' (did you mean 'ap_small'?"),
    ("columns=[macs_fvcore]", {}, "no meter of this suite writes the metric 'macs_fvcore'"),
    ("gates=[{metric: app, against: one, at_least: 0}]", {}, "gates.0.metric: no meter of this suite writes the metric 'app' (did you mean 'ap'?"),
    ("gates=[{metric: ap, detector: onne, against: two, at_least: 0}]", {}, "gates.0.detector: the suite has no detector 'onne' (did you mean 'one'?"),
    ("gates=[{metric: ap, against: twoo, at_least: 0}]", {}, "gates.0.against: 'twoo' is neither a detector of the suite nor a run (did you mean 'two'?"),
    ("gates=[{metric: ap, against: one}]", {}, "gates.0: give either 'at_least' or 'at_most'"),
    ("gates=[{metric: ap, against: one, at_least: 0, at_most: 1}]", {}, "gates.0: give either 'at_least' or 'at_most'"),
    ("gates=[{metric: ap, against: one, at_least: -1, of: ratio}]", {}, "gates.0: a ratio is limited by a positive number"),
    ("gates=[{metric: ap, detector: one, against: one, at_least: 0}]", {}, "gates.0: compares 'one' with itself"),
    ("gates=[{metric: ap, against: one, at_least: 0, of: points}]", {}, "gates.0.of: "),
    ("published=[{detector: onne, metric: ap, value: 1, unit: AP, split: v, source: s}]", {}, "the suite has no detector 'onne' (did you mean 'one'?"),
    ("seeds=[0]", {"only": ["twoo"]}, "--only: the suite has no detector 'twoo' (did you mean 'two'?"),
    ("seeds=[0]", {"stages": ["evaluat"]}, "--stages: there is no stage 'evaluat' (did you mean 'evaluate'?"),
    ("seeds=[0]", {"modes": ["fusd"]}, "--modes: there is no mode 'fusd' (did you mean 'fused'?"),
    ("seeds=[0]", {"modes": ["fused-half"]}, "--modes: there is no mode 'fused-half' ('fused-half' is now mode fused with precision float16 (bfloat16 on most CPUs))"),
    ("seeds=[0]", {"precisions": ["fp16"]}, "--precisions: there is no precision 'fp16' ('fp16' is called float16)"),
    ("seeds=[0]", {"precisions": ["flaot16"]}, "--precisions: there is no precision 'flaot16' (did you mean 'float16'?"),
    ("seeds=[0]", {"modes": ["fused", "all"]}, "--modes: 'all' stands alone (--modes all)"),
    ("detectors.one.checkpoint=no.pth", {}, "detectors.one.checkpoint: 'no.pth' cannot be read: No such file"),
    ("data.params.root=nowhere", {}, "nowhere: does not exist"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "choices", "expected"), MISTAKES)
def test_mistakes_are_found_before_anything_runs(plan, change, choices, expected):
    with pytest.raises(UserError) as caught:
        plan(change, **choices)
    line = str(caught.value)
    assert expected in line
    assert "\n" not in line


def test_an_unknown_part_is_blamed_on_the_line_that_names_it(plan, manifest: Path, tmp_path: Path):
    """The name comes from the defaults; a detector only adds parameters."""
    text = manifest.read_text().replace("use: tiny_fpn", "use: tiny_fpm")
    path = tmp_path / "m.yaml"
    path.write_text(text.replace("one: {backbone", "one: {neck: {params: {}}, backbone"))
    with pytest.raises(UserError) as caught:
        plan(path=path)
    assert str(caught.value).startswith(f"{path}:8 defaults.detector.neck.use: no neck is called")


def test_a_key_of_an_optimiser_is_blamed_on_the_layer_that_wrote_it(plan, manifest: Path, tmp_path):
    text = manifest.read_text().replace("train: {steps: 10}", "train: {optimizer: {momentun: 0.7}}")
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        plan(path=path)
    assert str(caught.value).startswith(
        f"{path}:12 defaults.detector.train.optimizer.momentun: unknown key 'momentun' "
        "(did you mean 'momentum'?"
    )


def test_choices_narrow_a_plan_without_changing_its_cells(plan):
    whole = {str(c): c.fingerprint for c in plan().cells}
    narrow = plan(only=["two"], stages=["evaluate"]).cells
    assert [str(c) for c in narrow] == ["two seed 0 evaluate"]
    assert narrow[0].fingerprint == whole["two seed 0 evaluate"]


def latencies(plan: Plan) -> dict[str, str]:
    """Mode -> fingerprint of the cells of `latency` of one detector."""
    chosen = [c for c in plan.cells if (c.detector, c.stage) == ("one", "latency")]
    assert len({c.mode for c in chosen}) == len(chosen)
    return {c.mode: c.fingerprint for c in chosen}


def test_a_latency_is_one_cell_a_mode_and_the_other_stages_have_none(plan):
    made = plan("latency.modes=[compiled, eager, compiled]")
    cells = [c for c in made.cells if c.detector == "one"]
    assert [(c.stage, c.mode) for c in cells] == [
        ("train", ""), ("evaluate", ""), ("cost", ""), ("latency", "compiled"), ("latency", "eager"),
    ]  # fmt: skip
    assert [str(c) for c in cells[-2:]] == [
        "one seed 0 latency compiled",
        "one seed 0 latency",
    ]
    assert [c["mode"] for c in resolved(made)["cells"][:5]] == ["", "", "", "compiled", "eager"]


def test_all_modes_by_one_word_and_the_command_lines_before_the_manifests(plan):
    assert list(latencies(plan("latency.modes=all"))) == list(MODES)
    assert list(latencies(plan(modes=["all"]))) == list(MODES)
    assert list(latencies(plan("latency.modes=all", modes=["fused", "eager"]))) == [
        "fused",
        "eager",
    ]
    assert list(latencies(plan())) == ["eager"]


def test_a_modes_fingerprint_covers_itself_and_not_the_others(plan):
    every = latencies(plan("latency.modes=all"))
    assert len(set(every.values())) == len(MODES)
    assert latencies(plan()) == {"eager": every["eager"]}
    assert latencies(plan("latency.modes=fused")) == {"fused": every["fused"]}


def test_modes_and_precisions_are_crossed_and_named_by_one_word(plan):
    made = latencies(plan("latency.modes=[fused, eager]", "latency.precisions=[float16, float32]"))
    assert list(made) == ["fused-float16", "fused", "eager-float16", "eager"]
    assert len(set(made.values())) == 4
    assert made["fused"] == latencies(plan("latency.modes=fused"))["fused"]
    assert latencies(plan(modes=["fused", "eager"], precisions=["float16", "float32"])) == made
    every = latencies(plan("latency.modes=all", "latency.precisions=all"))
    assert list(every) == [name_mode(m, p) for m in MODES for p in PRECISIONS]
    assert [split_mode(name) for name in every] == list(product(MODES, PRECISIONS))
    assert list(latencies(plan(precisions=["tf32"]))) == ["eager-tf32"]


@pytest.mark.parametrize(
    "change",
    [
        "latency.check_images=7",
        "meters=[{use: coco_ap, params: {backend: pycocotools}}, macs_paper, parameters, latency]",
    ],
)
def test_what_a_mode_is_checked_with_is_in_its_fingerprint_but_not_in_that_of_eager(plan, change):
    before = latencies(plan("latency.modes=[eager, fused]"))
    after = latencies(plan("latency.modes=[eager, fused]", change))
    assert before["eager"] == after["eager"]
    assert before["fused"] != after["fused"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("eagr", "there is no mode 'eagr' (did you mean 'eager'? there is: "),
        ("fused-half", "there is no mode 'fused-half' ('fused-half' is now mode fused with precision float16 (bfloat16 on most CPUs))"),
        ("cuda_graph-tf32", "there is no mode 'cuda_graph-tf32' ('cuda_graph-tf32' is mode cuda_graph with precision tf32)"),
    ],
)  # fmt: skip
def test_modes_of_a_manifest_are_those_that_plugins_declare(
    manifest: Path, registry, name: str, hint: str
):
    path = manifest.with_name("modes.yaml")
    path.write_text(
        manifest.read_text().replace("{quick: {}}", f"{{quick: {{latency: {{modes: [{name}]}}}}}}")
    )
    with pytest.raises(UserError) as caught:
        make_plan(load_manifest(path), registry)
    assert f"modes.yaml:13 profiles.quick.latency.modes: {hint}" in str(caught.value)


MODE = """\
from harness.plugin import Mode, hookimpl


@hookimpl
def harness_modes():
    return [Mode({name!r}, "x:y", summary="s")]
"""


def test_a_mode_from_outside_has_cells_whose_fingerprints_are_its_own(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    made = []
    for version in (1, 2):
        (tmp_path / f"runtime{version}.py").write_text(MODE.format(name="my-runtime"))
        loaded = load_plugins([f"runtime{version}.py"])
        plan = make_plan(load_manifest(manifest), loaded, modes=["eager", "my-runtime"])
        made.append(latencies(plan))
    assert list(made[0]) == ["eager", "my-runtime"]
    assert split_mode("my-runtime-float16") == ("my-runtime", "float16")
    assert made[0]["eager"] == made[1]["eager"]
    assert made[0]["my-runtime"] != made[1]["my-runtime"]


def test_a_mode_may_not_be_named_like_another_ones_precision(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "halved.py").write_text(MODE.format(name="mine-float16"))
    with pytest.raises(UserError, match=r"'mine-float16' of 'halved' .* ends like a precision"):
        make_plan(load_manifest(manifest), load_plugins(["halved.py"]), modes=["mine-float16"])


METERS = """\
from harness.plugin import Meter, MetricSpec, NoParams, hookimpl


@hookimpl
def harness_meters():
    common = {{"target": "x:y", "params": NoParams, "summary": "s"}}
    return [Meter("mine", stage={stage!r}, metrics=(MetricSpec({metric!r}),), **common)]
"""


@pytest.mark.parametrize(
    ("stage", "metric", "expected"),
    [
        ("cost", "parameters", "the metric 'parameters' is written by two meters: 'parameters' of 'meters'"),
        ("costs", "mine", "'mine' of 'mine_costs_mine' (mine_costs_mine.py "),
        ("train", "mine", "is of the stage 'train', which asks no meters (there is: cost, evaluate, latency)"),
    ],
)  # fmt: skip
def test_each_metric_has_one_writer_and_each_meter_a_stage(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage, metric, expected
):
    monkeypatch.chdir(tmp_path)
    name = f"mine_{stage}_{metric}.py"
    (tmp_path / name).write_text(METERS.format(stage=stage, metric=metric))
    registry = load_plugins([name])
    sets = ["meters=[coco_ap, parameters, mine]"]
    with pytest.raises(UserError) as caught:
        make_plan(load_manifest(manifest, None, sets), registry)
    line = str(caught.value)
    assert expected in line
    assert "meters" in line
    assert "\n" not in line


def test_a_meter_that_stands_there_twice_is_one_too_many(plan):
    with pytest.raises(UserError, match=r"'ap' is written by two meters"):
        plan("meters=[coco_ap, parameters, coco_ap]")


def test_resolved_is_json_and_names_every_parameter(plan):
    plain = json.loads(json.dumps(resolved(plan())))
    parts = plain["detectors"]["one"]["parts"]
    assert parts["neck"]["params"]["groups"] == [7, 5, 1, 1]
    assert parts["neck"]["plugin"][0] == "tinydet"
    assert plain["classes"] == ["square", "bar"]
    assert len(plain["cells"]) == 12
