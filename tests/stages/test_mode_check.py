"""The check of a mode before it is timed, on runners that find what they are told to."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_suite import make_coco

from harness.data.annotations import read_annotations
from harness.data.batch import Inputs
from harness.data.images import read_image
from harness.data.resize import SquashResize
from harness.errors import CellError
from harness.manifest.schema import PRECISIONS
from harness.model.types import Detections
from harness.modes.runner import Runner
from harness.plugin.metrics import Finding
from harness.records.measurement import Measurement
from harness.stages.metrics import METRICS
from harness.stages.mode_check import CheckData, check_mode, score_of
from harness_plugins.meters.coco_ap import CocoAp


def test_a_quantised_mode_is_known_by_its_own_score() -> None:
    checked = [
        Measurement("mode_agreement", 0.5),
        Measurement("ap_check", 0.3, conditions={"ap_eager": 0.4, "images": 5}),
    ]
    assert score_of(checked) == {"ap_check": 0.3, "ap_eager": 0.4, "ap_images": 5}
    assert score_of(checked[:1]) == {}


Change = Callable[[Detections], Detections]


@pytest.fixture
def data(tmp_path: Path) -> CheckData:
    root = make_coco(tmp_path / "coco")
    annotations = read_annotations(root / "annotations" / "instances_val.json")
    return CheckData(
        images=[
            read_image(root / "val" / e.file_name, (e.height, e.width)) for e in annotations.images
        ],
        image_ids=[e.id for e in annotations.images],
        category_ids=annotations.category_ids,
        annotations=annotations.path,
        meters=[CocoAp()],
        score="ap",
    )


def truth_of(ids: Sequence[int]) -> Detections:
    """What `make_coco` draws, found with scores of 0.9 and 0.8."""
    boxes = [[[4 + n, 6, 16 + n, 18], [30, 20, 60, 28]] for n in ids]
    count = len(ids)
    return Detections(
        torch.tensor(boxes).float(),
        torch.tensor([[0.9, 0.8]] * count),
        torch.tensor([[0, 1]] * count),
        torch.tensor([2] * count),
    )


def runner(
    change: Change = lambda found: found, precision: str = "float32", seen: Any = None
) -> Any:
    """Tells images apart by their background, which is `30 n` in image n."""

    def detect(inputs: Inputs) -> Detections:
        assert inputs.pixels.dtype == torch.uint8
        ids = [round(float(p.float().median()) / 30) for p in inputs.pixels[:, 0]]
        if seen is not None:
            seen.append(ids)
        return change(truth_of(ids))

    detector = SimpleNamespace(resize=SquashResize(64, 64), device=torch.device("cpu"))
    return Runner(detector, "fused", precision, None, None, detect)  # type: ignore[arg-type]


def check(data: CheckData, change: Change, precision: str = "float32") -> dict[str, Measurement]:
    found = check_mode(runner(change, precision), runner(), data, batch_size=2)
    return {m.metric: m for m in found}


def moved(pixels: float) -> Change:
    return lambda f: Detections(f.boxes + pixels, f.scores, f.labels, f.counts)


def scored(step: float) -> Change:
    return lambda f: Detections(f.boxes, f.scores + step, f.labels, f.counts)


def test_a_mode_that_finds_the_same_passes_and_says_on_what(data):
    found = check(data, lambda same: same)
    agreement, ap = found["mode_agreement"], found["ap_check"]
    assert (agreement.value, agreement.count, agreement.warnings) == (1.0, 4, ())
    assert agreement.conditions["agreement"] == 0.99
    assert (ap.value, ap.count) == (1.0, 4)
    assert ap.conditions["ap_eager"] == 1.0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_moved_box_fails_with_both_figures(data, precision):
    with pytest.raises(CellError) as caught:
        check(data, moved(6), precision)
    least = {"float32": "0.99", "tf32": "0.97"}.get(precision, "0.9")
    assert f"agreement 0.0000 where {least} is required" in str(caught.value)
    assert "where eager has 100.00" in str(caught.value)
    assert "on 4 images" in str(caught.value)


@pytest.mark.parametrize(
    ("step", "passing"), [(0.015, ["tf32", "bfloat16", "float16"]), (0.03, ["bfloat16", "float16"])]
)
def test_the_fewer_bits_the_further_scores_may_move(data, step: float, passing: list[str]):
    for precision in PRECISIONS:
        if precision in passing:
            assert check(data, scored(step), precision)["mode_agreement"].value == 1.0
        else:
            with pytest.raises(CellError, match=r"agreement 0\.000"):
                check(data, scored(step), precision)


def test_an_ap_that_falls_fails_though_the_boxes_agree(data):
    """Three pixels off 30 is an IoU of 0.9, and loses AP at 0.95."""

    def shorter(found: Detections) -> Detections:
        boxes = found.boxes.clone()
        boxes[:, 1, 2] -= 2.9
        return Detections(boxes, found.scores, found.labels, found.counts)

    with pytest.raises(CellError) as caught:
        check(data, shorter)
    assert "agreement" not in str(caught.value)
    assert "AP 95.00 where eager has 100.00 (0.2 lower at most)" in str(caught.value)


def test_an_eager_ap_of_nothing_is_no_yardstick(data):
    found = check_mode(runner(moved(40)), runner(moved(40)), data, batch_size=2)
    assert [m.value for m in found] == [1.0, 0.0]


def test_without_a_meter_of_ap_the_agreement_stands_alone_and_says_so(data):
    bare = replace(data, meters=(), score="")
    [found] = check_mode(runner(), runner(), bare, batch_size=2)
    assert (found.metric, found.value) == ("mode_agreement", 1.0)
    assert found.warnings == (Finding("mode_without_score"),)


def test_what_is_not_finite_is_told_of_the_side_that_finds_it(data):
    broken = moved(float("nan"))
    with pytest.raises(CellError, match="detections of this mode are not finite"):
        check_mode(runner(broken), runner(), data, batch_size=2)
    with pytest.raises(CellError, match="detections of eager are not finite"):
        check_mode(runner(), runner(broken), data, batch_size=2)


def test_of_random_weights_what_differs_is_a_doubt_and_no_failure(data):
    untrained = replace(data, trained=False)
    agreement, ap = check_mode(runner(moved(6)), runner(), untrained, batch_size=2)
    assert (agreement.value, ap.conditions["ap_eager"]) == (0.0, 1.0)
    for number in (agreement, ap):
        [warning] = number.warnings
        assert (warning.code, warning.params["images"]) == ("mode_differs", 4)
        assert "agreement 0.0000 where 0.99 is required" in warning.params["problem"]
        assert "with random weights" in METRICS.word(warning)
    same, _ = check_mode(runner(), runner(), untrained, batch_size=2)
    assert same.warnings == ()


def test_batches_are_of_one_size_and_what_fills_the_last_is_not_counted(data):
    seen: list[list[int]] = []
    check_mode(runner(seen=seen), runner(), data, batch_size=3)
    assert seen == [[1, 2, 3], [4, 1, 2]]
    assert check(data, lambda same: same)["mode_agreement"].count == 4
