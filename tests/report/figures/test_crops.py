"""Close-ups of missed small objects: which, from where, and why they were missed."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making_runs import make_run
from PIL import Image

from harness.report.sections.crops import Miss, build, crops, window_around
from harness.results.ap.types import Misses
from harness.results.run import Run

FIRST, SECOND = "tinydet_s", "tinydet_m"


def small_object(image: int) -> tuple[list[float], int]:
    """xywh and category of the small object that `making_runs` draws."""
    return [8.0 + image, 10.0, 12.0, 12.0], 1 + image % 3


def detection(image: int, *, dx: float = 0, category: int = 0, score: float = 0.9) -> Any:
    (x, *rest), own = small_object(image)
    category = category or own
    return {"image_id": image, "category_id": category, "bbox": [x + dx, *rest], "score": score}


def prepare(
    folder: Path, images: int, found: Mapping[str, list[Any]], found_by: Mapping[str, set[int]]
) -> Run:
    """A run whose detectors made these detections and found the small objects of these images."""
    made = make_run(folder, detectors=dict.fromkeys(found, 0.3), seeds=[0], images=images)
    for name, entries in found.items():
        made.detections_file(name, 0).write_text(json.dumps(entries))
    analyses = {
        (name, seed): replace(
            one,
            misses=tuple(Misses(n, 3, 1) for n in range(1, images + 1) if n not in found_by[name]),
        )
        for (name, seed), one in made.analyses.items()
    }
    return replace(made, analyses=analyses)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Of two detectors: of five images, the first one misses four objects, the other only one."""
    other = 1 + (small_object(2)[1]) % 3
    found = {
        FIRST: [
            detection(1, score=0.2),
            detection(2, category=other),
            detection(3, dx=6),  # IoU 1/3
            detection(5),
        ],
        SECOND: [detection(n) for n in (1, 2, 3, 4)],
    }
    return prepare(tmp_path / "run", 5, found, {FIRST: {5}, SECOND: {1, 2, 3, 4}})


def by_file(run: Run, detector: str) -> Mapping[str, Miss]:
    shown = crops(run)
    assert shown is not None
    n = [name for name, _ in shown.detectors].index(detector)
    return {crop.file_name: miss for crop in shown.crops if (miss := crop.misses[n])}


def test_each_miss_says_what_the_detector_did_there(run: Run) -> None:
    assert run.truth is not None
    other = run.truth.categories[1 + small_object(2)[1] % 3]
    told = {file: (miss.kind, miss.why) for file, miss in by_file(run, FIRST).items()}
    assert told == {
        "001.jpg": ("unsure", "found with a score of 0.20 only"),
        "002.jpg": ("confused", f"taken for {other}, score 0.90"),
        "003.jpg": ("misplaced", "box misplaced: IoU 0.33, score 0.90"),
        "004.jpg": ("nothing", "nothing found"),
    }
    assert by_file(run, FIRST)["001.jpg"].detections == ""  # not sure enough to be drawn
    assert by_file(run, FIRST)["002.jpg"].detections == "M10.0 10.0h12.0v12.0h-12.0z"
    assert list(by_file(run, SECOND)) == ["005.jpg"]


def test_detectors_with_how_many_they_miss(run: Run) -> None:
    shown = crops(run)
    assert shown is not None
    assert shown.detectors == ((FIRST, 4), (SECOND, 1))


def test_what_others_find_comes_first(run: Run) -> None:
    """The second detector finds two of them no longer: those go to the end."""
    run.detections_file(SECOND, 0).write_text(json.dumps([detection(3), detection(4)]))
    assert list(by_file(run, FIRST)) == ["003.jpg", "004.jpg", "001.jpg", "002.jpg"]


def test_a_crop_has_the_images_own_pixels(run: Run) -> None:
    shown = crops(run)
    assert shown is not None
    assert run.images is not None
    for crop in shown.crops:
        left, top, width, height = crop.window
        data = base64.b64decode(crop.thumbnail.source.partition(",")[2])
        with Image.open(BytesIO(data)) as cut, Image.open(run.images / crop.file_name) as whole:
            assert cut.size == (width, height) == (48, 48)
            (x, y, w, h), _ = small_object(int(crop.file_name[:3]))
            centre = (int(x + w / 2), int(y + h / 2))
            here = cut.getpixel((centre[0] - left, centre[1] - top))
            there = whole.convert("RGB").getpixel(centre)
        assert all(abs(a - b) < 30 for a, b in zip(here, there, strict=True))  # of JPEG, twice


def test_an_image_smaller_than_a_crop_is_shown_whole() -> None:
    def window(*box: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
        return window_around(np.array(box), size)

    assert window(2, 3, 10, 10, size=(20, 30)) == (0, 0, 30, 20)
    assert window(990, 990, 10, 10, size=(1000, 1000)) == (952, 952, 48, 48)
    assert window(400, 400, 30, 20, size=(1000, 1000)) == (370, 365, 90, 90)


def test_the_page_shows_them_and_what_is_wrong_with_an_image(run: Run) -> None:
    assert run.images is not None
    (run.images / "002.jpg").unlink()
    page = str(build(run))
    assert "tinydet_s (4)" in page
    assert "002.jpg: the image is not there." in page
    assert 'data-kinds="nothing found"' in page
    assert 'data-kinds="found nothing"' in page  # of the one that only the second misses


def test_nothing_where_all_were_found_or_the_data_are_gone(run: Run) -> None:
    none = {place: replace(one, misses=()) for place, one in run.analyses.items()}
    assert build(replace(run, analyses=none)) is None
    assert build(replace(run, truth=None)) is None
    assert build(replace(run, annotations=None)) is None


def test_only_some_of_many(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.report.sections.crops.MOST", 1)
    assert list(by_file(run, FIRST)) == ["001.jpg", "002.jpg", "003.jpg"]  # three at least


def test_of_many_those_that_others_find_are_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.report.sections.crops.MOST", 3)
    finds = {FIRST: {5, 6, 7, 8}, SECOND: {3, 4}}
    found = {name: [detection(n) for n in sorted(images)] for name, images in finds.items()}
    run = prepare(tmp_path / "run", 8, found, finds)
    assert list(by_file(run, FIRST)) == ["003.jpg", "004.jpg", "001.jpg"]
    assert list(by_file(run, SECOND)) == ["005.jpg", "006.jpg", "007.jpg", "001.jpg"]


def test_an_unsure_detection_counts_only_where_it_would_find_the_object(run: Run) -> None:
    entries = [detection(1, dx=6, score=0.2), detection(2, dx=1, score=0.29)]
    run.detections_file(FIRST, 0).write_text(json.dumps(entries))
    kinds = {file: miss.kind for file, miss in by_file(run, FIRST).items()}
    assert (kinds["001.jpg"], kinds["002.jpg"]) == ("nothing", "unsure")
