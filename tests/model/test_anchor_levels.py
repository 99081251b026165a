"""Anchors that detectors say they have: strides, numbers and places known on paper."""

import pytest
import torch

from harness.run.building import build

SUITE = "suites/tinydet.yaml"


def levels(name: str, size: tuple[int, int]) -> list[tuple[float, int]]:
    detector = build(SUITE, name, classes=3)
    found = detector.anchor_levels(size)
    assert all(level.boxes.shape[1] == 4 for level in found)
    assert all((level.boxes[:, 2:] > level.boxes[:, :2]).all() for level in found)
    return [(level.stride, len(level.boxes)) for level in found]


@pytest.fixture(autouse=True)
def repository(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.chdir(request.config.rootpath)


def test_tinydet_has_three_anchors_a_cell():
    # S: maps of 40, 20, 10, 5; M has one of 80 as well
    cells = {8: 1600, 16: 400, 32: 100, 64: 25}
    assert levels("tinydet_s", (320, 320)) == [(s, 3 * n) for s, n in cells.items()]
    assert levels("tinydet_m", (320, 320))[0] == (4, 3 * 6400)


def test_ssdlite_has_six_default_boxes_a_cell():
    found = levels("ssdlite320", (320, 320))
    assert [n for _, n in found] == [6 * n * n for n in (20, 10, 5, 3, 2, 1)]
    assert [s for s, _ in found] == pytest.approx([16, 32, 64, 320 / 3, 160, 320])


def test_faster_rcnn_has_fifteen_anchors_a_cell_of_inputs_that_are_not_square():
    assert levels("fasterrcnn320", (320, 448)) == [(32, 2100), (32, 2100), (64, 525)]


def test_square_anchors_of_tinydet_are_scale_times_stride_wide_around_the_cell():
    detector = build(SUITE, "tinydet_s", classes=3)
    finest = detector.anchor_levels((320, 320))[0].boxes.view(40, 40, 3, 4)
    square = finest[3, 5, 1]
    # 2.25 x 8 = 18 wide; cell (3, 5) covers x 40 to 48, y 24 to 32
    assert (square[2:] - square[:2]).tolist() == pytest.approx([18, 18], abs=1)
    assert ((square[2:] + square[:2]) / 2).tolist() == pytest.approx([44, 28], abs=0.5)


def test_the_detectors_own_limit():
    limits = {"tinydet_s": 0.5, "ssdlite320": 0.5, "fasterrcnn320": 0.7}
    for name, limit in limits.items():
        assert build(SUITE, name, classes=3).positive_iou == limit


def test_laying_anchors_leaves_no_trace():
    detector = build(SUITE, "ssdlite320", classes=3).train()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    detector.anchor_levels((320, 320))
    assert detector.training
    assert all(torch.equal(before[n], value) for n, value in detector.state_dict().items())


def test_anchors_of_another_size_are_refused():
    detector = build(SUITE, "tinydet_s", classes=3)
    with pytest.raises(ValueError, match="320"):
        detector.anchor_levels((512, 512))
