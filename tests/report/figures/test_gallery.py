"""The gallery: the worst images first, boxes where they lie, within its weight, nothing hostile."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from making_runs import make_run
from PIL import Image

from harness.report.sections.gallery import box_path, build, choose_images, gallery
from harness.report.thumbnails import shrink_images
from harness.results.ap.types import Misses
from harness.results.run import Run
from harness.stages.scoring import read_ground_truth


def with_misses(run: Run, misses: dict[int, tuple[int, int]]) -> Run:
    """The same run whose every detector missed (all, small) objects of these images."""
    rows = tuple(Misses(image, missed, small) for image, (missed, small) in misses.items())
    analyses = {place: replace(found, misses=rows) for place, found in run.analyses.items()}
    return replace(run, analyses=analyses)


def test_missed_small_objects_count_first(made: Run) -> None:
    run = with_misses(made, {1: (9, 0), 2: (3, 2), 3: (3, 2), 4: (4, 2), 5: (0, 0)})
    assert choose_images(run) == [4, 2, 3, 1]  # the plan asks for four


def test_boxes_lie_where_they_are_annotated(made: Run) -> None:
    shown = gallery(made)
    assert shown is not None
    first = shown.pictures[0]
    assert (first.file_name, first.size) == ("001.jpg", (120, 160))
    assert dict(first.overlays[0].paths) == {
        "found": "M60.0 40.0h70.0v60.0h-70.0z",
        "true": "M60.0 40.0h70.0v60.0h-70.0z",
        "false": "M5.0 80.0h20.0v20.0h-20.0z",
        "missed-small": "M9.0 10.0h12.0v12.0h-12.0z",
    }
    assert first.overlays[0].caption == "1 of 2 found, 1 of 1 small ones missed, 1 false"
    assert shown.detectors == made.detectors
    assert set(shown.seeds) == {0}


def test_box_path_of_two_boxes() -> None:
    assert box_path([[1, 2, 3, 4], [0, 0, 5, 5]]) == "M1.0 2.0h3.0v4.0h-3.0zM0.0 0.0h5.0v5.0h-5.0z"


def test_thumbnails_stay_within_their_weight(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (600, 900, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    paths, sizes = [tmp_path / "noise.png"] * 12, [(600, 900)] * 12
    shown = shrink_images(paths, sizes)
    assert 0 < sum(len(thumbnail.source) for thumbnail in shown) <= 1_200_000


def test_an_image_that_is_gone_or_broken_is_noted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert run.images is not None
    (run.images / "001.jpg").unlink()
    (run.images / "002.jpg").write_bytes(b"no image")
    shown = gallery(run)
    assert shown is not None
    problems = [picture.thumbnail.problem for picture in shown.pictures]
    assert problems[0] == "the image is not there"
    assert problems[1].startswith("the image cannot be read")
    assert problems[2:] == ["", ""]
    assert "001.jpg: the image is not there." in str(build(run))


def test_nothing_without_analyses_or_truth(tmp_path: Path, made: Run) -> None:
    assert gallery(make_run(tmp_path / "old", analysed=False)) is None
    assert gallery(replace(made, truth=None)) is None
    assert gallery(replace(made, images=None)) is None
    assert gallery(replace(made, annotations=None)) is None


def test_hostile_file_names_are_escaped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = tmp_path / "run" / "data" / "instances_val.json"
    document = json.loads(path.read_text())
    document["images"][0]["file_name"] = '"><script>alert(1)</script>.jpg'
    path.write_text(json.dumps(document))
    page = str(build(replace(run, truth=read_ground_truth(path))))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_pixels_stay_as_stored_where_the_annotated_size_fits(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    stored, upright = (_size(tmp_path, size) for size in ((20, 40), (40, 20)))
    assert (stored, upright) == ((40, 20), (20, 40))


def _size(folder: Path, annotated: tuple[int, int]) -> tuple[int, int]:
    import base64
    from io import BytesIO

    [thumbnail] = shrink_images([folder / "turned.jpg"], [annotated])
    data = base64.b64decode(thumbnail.source.partition(",")[2])
    return Image.open(BytesIO(data)).size
