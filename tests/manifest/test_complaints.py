"""What a wrong manifest is told: file, line of the layer that is to blame, near name."""

# ruff: noqa: E501  a line of the tables is a mistake and the line that answers it

import pytest
from manifest_text import MANIFEST


def replaced(old: str, new: str) -> str:
    assert MANIFEST.count(old) == 1
    return MANIFEST.replace(old, new)


UNKNOWN_KEYS = [
    ("suite: demo", "siute: demo", "m.yaml:1 siute: unknown key 'siute' (did you mean 'suite'?"),
    ("  columns: [ap]", "  colums: [ap]", "m.yaml:4 defaults.colums: unknown key 'colums' (did you mean 'columns'?"),
    ("evaluate: {max_images: 7}", "evaluat: {max_images: 7}", "m.yaml:16 profiles.quick.evaluat: unknown key 'evaluat' (did you mean 'evaluate'?"),
    ("evaluate: {max_images: 7}", "evaluate: {max_image: 7}", "m.yaml:16 profiles.quick.evaluate.max_image: unknown key 'max_image' (did you mean 'max_images'?"),
    ("    input: {size: 320}", "    inputs: {size: 320}", "m.yaml:7 defaults.detector.inputs: unknown key 'inputs' (did you mean 'input'?"),
    ("    input: {size: 320}", "    input: {sise: 320}", "m.yaml:7 defaults.detector.input.sise: unknown key 'sise' (did you mean 'size'?"),
    ("    backbone: mobilenetv3_d", "    bakcbone: mobilenetv3_d", "m.yaml:25 detectors.one.bakcbone: unknown key 'bakcbone' (did you mean 'backbone'?"),
    ("    neck: other_neck", "    neck: {use: x, param: {}}", "m.yaml:34 detectors.two.neck.param: unknown key 'param' (did you mean 'params'?"),
    ("      long:\n        train", "      logn:\n        train", "m.yaml:30 detectors.one.profiles.logn: unknown key 'logn' (did you mean 'long'?"),
    # in a profile that is not chosen
    ("train: {batch_size: 32}", "train: {batchsize: 32}", "m.yaml:22 profiles.long.detector.train.batchsize: unknown key 'batchsize' (did you mean 'batch_size'?"),
    ("train: {batch_size: 8}", "train: {batch_sise: 8}", "m.yaml:31 detectors.one.profiles.long.train.batch_sise: unknown key 'batch_sise' (did you mean 'batch_size'?"),
    ("params: {root: data/coco}}", "parms: {root: data/coco}}", "m.yaml:20 profiles.long.data.parms: unknown key 'parms' (did you mean 'params'?"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), UNKNOWN_KEYS)
def test_misspelt_keys_at_every_level(complaint, old, new, expected):
    assert complaint(replaced(old, new)).startswith(expected)


def test_a_misspelt_required_key_is_told_by_its_near_name(complaint):
    claim = "published:\n  - {detector: one, metric: ap, vlaue: 1, unit: AP, split: x, source: y}\n"
    assert complaint(MANIFEST + claim).startswith(
        "m.yaml:39 published.0.vlaue: unknown key 'vlaue' (and 1 more) (did you mean 'value'?"
    )


def test_all_that_is_missing_at_one_place_is_told_at_once(complaint):
    claim = "published:\n  - {detector: one, metric: ap, value: 1}\n"
    told = "'unit', 'split', 'source' are missing"
    assert complaint(MANIFEST + claim) == f"m.yaml:39 published.0: {told}"
    both = replaced("  meters: [coco_ap]\n", "") + claim
    assert complaint(both) == "m.yaml:13 profiles.quick: 'meters' is missing (and 3 more)"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("steps: 100", "steps: many", "m.yaml:12 defaults.detector.train.steps: input should be a valid integer"),
        ("steps: 100", "steps: -1", "m.yaml:12 defaults.detector.train.steps: input should be greater than or equal to 0, not -1"),
        ("steps: 100", "steps: 100, epochs: 2", "m.yaml:29 detectors.one.profiles.quick.train: give 'steps' or 'epochs', not both"),
        ("detector: ssdlite", "detector: ssdlite\n    rpn: tiny_rpn", "m.yaml:36 detectors.whole: 'detector' is whole and takes no parts, but has rpn"),
        ("  meters: [coco_ap]\n", "", "m.yaml:13 profiles.quick: 'meters' is missing"),
        ("input: {size: 320}", "input: {size: [320, 0]}", "m.yaml:7 defaults.detector.input.size.1: input should be greater than 0, not 0"),
        ("    neck: other_neck", "    neck: [a]", "m.yaml:34 detectors.two.neck: should be a mapping, not ['a']"),
        ("train: {optimizer: {lr: 0.125}}", "train: fast", "m.yaml:35 detectors.two.train: should be a mapping, not 'fast'"),
        ("  two:", "  't w o':", "m.yaml:32 detectors.t w o: string should match pattern"),
        ("evaluate: {max_images: 7}", "latency: {modes: [[eager]]}", "m.yaml:16 profiles.quick.latency.modes: should be 'all' or a list of names of modes, not [['eager']]"),
        ("evaluate: {max_images: 7}", "latency: {precisions: [fp16]}", "m.yaml:16 profiles.quick.latency.precisions: 'fp16' is called float16: should be 'all' or one of float32, tf32, bfloat16, float16, not ['fp16']"),
        ("evaluate: {max_images: 7}", "latency: {precisions: []}", "m.yaml:16 profiles.quick.latency.precisions: should be 'all' or a list of precisions, not []"),
        ("steps: 100", "precision: bf16", "m.yaml:12 defaults.detector.train.precision: 'bf16' is called bfloat16: should be one of float32, tf32, bfloat16, float16, not 'bf16'"),
        ("steps: 100", "precision: [tf32]", "m.yaml:12 defaults.detector.train.precision: should be one of float32, tf32,"),
        ("evaluate: {max_images: 7}", "latency: {modes: []}", "m.yaml:16 profiles.quick.latency.modes: should be 'all' or a list of modes, not []"),
        ("suite: demo", "suite: ../up", "m.yaml:1 suite: string should match pattern"),
        ("data: synthetic", "data: synthetic\n    stages: []", "m.yaml:16 profiles.quick.stages: tuple should have at least 1 item"),
        ("data: synthetic", "data: synthetic\n    seeds: []", "m.yaml:16 profiles.quick.seeds: tuple should have at least 1 item"),
        ("data: synthetic", "data: synthetic\n    seeds: [-1]", "m.yaml:16 profiles.quick.seeds.0: input should be greater than or equal to 0"),
        ("data: synthetic", "data: synthetic\n    stages: [trian]", "m.yaml:16 profiles.quick.stages.0: input should be 'train', 'evaluate'"),
    ],
)  # fmt: skip
def test_wrong_values_name_the_layer_that_wrote_them(complaint, old, new, expected):
    line = complaint(replaced(old, new))
    assert line.startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2]", "m.yaml:1: is a list, not a mapping"),
        ("just text", "m.yaml:1: is text, not a mapping"),
        ("suite: x", "m.yaml: has no 'detectors'"),
        ("suite: x\nprofiles: {}\ndetectors: {a: {}}", "m.yaml:2 profiles: is empty"),
        ("suite: x\nprofiles:\ndetectors: {a: {b: 1}}", "m.yaml:2 profiles: is empty, not a mapping"),
        ("suite: x\nprofiles: {quick: }\ndetectors: {a: {b: 1}}", "m.yaml:2 profiles.quick: is empty, not a mapping"),
        ("suite: x\nprofiles: {quick: {detector: 3}}\ndetectors: {a: {b: 1}}", "m.yaml:2 profiles.quick.detector: is 3, not a mapping"),
        ("suite: x\ndefaults: {detector: }\nprofiles: {quick: {}}\ndetectors: {a: {b: 1}}", "m.yaml:2 defaults.detector: is empty, not a mapping"),
        ("suite: x\ndefaults: 3\nprofiles: {quick: {}}\ndetectors: {a: {b: 1}}", "m.yaml:2 defaults: is 3, not a mapping"),
        ("suite: x\nprofiles: {quick: {}}\ndetectors: {}", "m.yaml:3 detectors: is empty"),
        ("suite: x\nprofiles: {quick: {}}\ndetectors: {a: }", "m.yaml:3 detectors.a: is empty, not a mapping"),
        ("suite: x\nprofiles: {quick: {}}\ndetectors: {a: {profiles: }}", "m.yaml:3 detectors.a.profiles: is empty, not a mapping"),
        ("suite: x\nprofiles: {quick: {}}\ndetectors: {a: {profiles: [quick]}}", "m.yaml:3 detectors.a.profiles: is a list, not a mapping"),
        ("suite: x\nprofiles: {quick: {}}\ndetectors: {a: {profiles: {quick: 3}}}", "m.yaml:3 detectors.a.profiles.quick: is 3, not a mapping"),
    ],
)  # fmt: skip
def test_wrong_shapes(complaint, text, expected):
    assert complaint(text).startswith(expected)


def test_an_unknown_profile_is_told_the_known_ones(complaint):
    line = complaint(profile="quik")
    assert line == "m.yaml: has no profile 'quik' (did you mean 'quick'? there is: long, quick)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seeds", "--set seeds: is not of the form a.b.c=value"),
        ("=3", "--set =3: is not of the form a.b.c=value"),
        ("a..b=3", "--set a..b=3: is not of the form a.b.c=value"),
        ('a."b=3', "is not of the form a.b.c=value"),
        ('a."b"c=3', "is not of the form a.b.c=value"),
        ("seeds=[1", "--set seeds=[1:1: is not YAML"),
        ("seeds=!!python/name:os.system", "carries the YAML tag"),
        ("seeds=x", "--set seeds=x: seeds"),
        ("detectors.one.train.setps=5", "--set detectors.one.train.setps=5: detectors.one.train.setps: unknown key 'setps' (did you mean 'steps'?"),
        ("detectors.*.train.setps=5", "--set detectors.*.train.setps=5: detectors.one.train.setps: unknown key 'setps'"),
        ("detectors.one.train.steps.x=5", "'x' is inside a value, not a mapping"),
        ("columns.0=ap", "--set columns.0=ap: '0' is inside a list, not a mapping (set the whole of it"),
        ("detectors.oen.train.steps=5", "--set detectors.oen.train.steps=5: there is no detector 'oen' (did you mean 'one'?"),
        ("detector.one.train.steps=5", "--set detector.one.train.steps=5: unknown key 'detector' (did you mean 'detectors'?"),
        ("profile=long", "--set profile=long: is not a value of the suite (choose it with --profile)"),
    ],
)  # fmt: skip
def test_wrong_overrides(complaint, text, expected):
    assert expected in complaint(sets=[text])


def test_an_override_is_not_blamed_for_a_profile_that_is_not_chosen(complaint):
    text = replaced("train: {batch_size: 32}", "train: {batch_size: none}")
    line = complaint(text, sets=["detectors.*.train.batch_size=4"])
    assert line.startswith(
        "m.yaml:22 profiles.long.detector.train.batch_size: input should be a valid"
    )
