"""`harness predict`: from image files to drawn images and COCO JSON."""

import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor
from torchvision.ops import clip_boxes_to_image
from torchvision.transforms.v2.functional import to_pil_image

from harness.data.annotations import read_annotations
from harness.data.images import read_image
from harness.data.splits import SUFFIXES
from harness.errors import UserError
from harness.files import write_atomic, write_text
from harness.manifest.schema import DetectorSpec
from harness.manifest.validation import invalid
from harness.model.assemble import assemble
from harness.model.checkpoint import Checkpoint, load_detector, read_checkpoint
from harness.model.detector import Detector
from harness.plan.planner import detector_parts
from harness.plugin.manager import load_plugins
from harness.records.layout import DETECTIONS
from harness.run.building import build, class_names
from harness.run.drawing import Drawn, draw_detections
from harness.run.launch import find_launch

Prediction = dict[str, Tensor]


def predict_files(
    images: Sequence[Path],
    checkpoint: Path,
    out: Path,
    *,
    manifest: Path | None,
    detector: str | None,
    classes: Path | None,
    threshold: float,
    device: str,
    plugins: Sequence[str],
    say: Callable[[str], None],
) -> list[Path]:
    """Detect in each image and draw what was found.

    `out` gets the drawn JPEG files, detections.json in COCO's result format, and images.json with
    its image and category ids, in COCO's annotation format.

    Args:
        threshold: lowest score that is drawn and counted.
        say: is told what was found in each image and how long that took, in a line.

    Returns:
        the drawn files.

    Raises:
        UserError: no images, a bad image, or a checkpoint that does not describe its detector.
    """
    files = list(_image_files(images))
    if not files:
        raise UserError("contains no images", where=", ".join(map(str, images)))
    weights = read_checkpoint(checkpoint)
    names, read_ids = _categories(weights, classes)
    built = _build(weights, manifest, detector, names, plugins).to(find_launch(device).device)
    ids = read_ids or list(range(1, len(built.classes) + 1))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot be made: {error.strerror}", where=out) from error
    targets = _drawn_names(files, out)
    _detect(built, files, targets, ids, threshold, say, out)
    return targets


def _detect(
    built: Detector,
    files: Sequence[Path],
    targets: Sequence[Path],
    ids: list[int],
    threshold: float,
    say: Callable[[str], None],
    out: Path,
) -> None:
    """One image after the other; a bad one in the middle loses nothing of those before it."""
    found: list[dict[str, Any]] = []
    listed: list[dict[str, Any]] = []
    try:
        for number, (file, target) in enumerate(zip(files, targets, strict=True), 1):
            image = read_image(file)
            started = time.perf_counter()
            [prediction] = built.predict([image])
            height, width = image.shape[1:]
            shown = _drawn(prediction, built.classes, threshold, (height, width))
            seconds = time.perf_counter() - started  # the boxes are on the CPU
            listed.append({"id": number, "file_name": file.name, "height": height, "width": width})
            found += _coco_results(prediction, number, ids)
            _save(image, shown, target)
            say(_line(file, shown, seconds, threshold))
    finally:
        categories = [{"id": i, "name": n} for i, n in zip(ids, built.classes, strict=True)]
        images_file = {"images": listed, "categories": categories, "annotations": []}
        write_text(out / DETECTIONS, json.dumps(found, indent=1) + "\n")
        write_text(out / "images.json", json.dumps(images_file, indent=1) + "\n")


def _image_files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES | {".gif"})
        elif path.exists():
            yield path
        else:
            raise UserError("no such image", where=path)


def _categories(
    weights: Checkpoint, annotations: Path | None
) -> tuple[list[str] | None, list[int] | None]:
    if annotations is not None:
        read = read_annotations(annotations)
        return list(read.classes), list(read.category_ids)
    names = class_names(weights)
    if names is None:
        return None, None
    ids = weights.meta.get("category_ids", range(1, len(names) + 1))
    if len(ids) != len(names):
        raise UserError(f"has {len(names)} classes but {len(ids)} category ids", where=weights.path)
    return names, [int(i) for i in ids]


def _build(
    weights: Checkpoint,
    manifest: Path | None,
    name: str | None,
    classes: list[str] | None,
    plugins: Sequence[str],
) -> Detector:
    if (manifest is None) != (name is None):
        raise UserError("--suite and --detector go together")
    if manifest is not None and name is not None:
        return build(manifest, name, checkpoint=weights.path, classes=classes, plugins=plugins)
    if "spec" not in weights.meta or classes is None:
        raise UserError(
            "does not say which detector it belongs to",
            where=weights.path,
            hint="name it: --suite SUITE.yaml --detector NAME --classes ANNOTATIONS.json",
        )
    try:
        spec = DetectorSpec.model_validate(weights.meta["spec"])
    except ValidationError as error:
        raise invalid(error, DetectorSpec, lambda path: f"{weights.path} meta.spec") from error
    parts = detector_parts(load_plugins(plugins), spec, lambda path: str(weights.path))
    detector = assemble(spec, parts, classes, where=str(weights.path))
    load_detector(detector, weights)
    return detector.eval()


def _drawn_names(files: Sequence[Path], out: Path) -> list[Path]:
    """`stem.jpg`, numbered where two images of different folders share a stem."""
    names: list[Path] = []
    for number, file in enumerate(files, 1):
        target = out / f"{file.stem}.jpg"
        names.append(out / f"{file.stem}-{number}.jpg" if target in names else target)
    return names


def _coco_results(
    prediction: Prediction, image_id: int, ids: list[int]
) -> Iterator[dict[str, Any]]:
    boxes, scores, labels = (prediction[key].tolist() for key in ("boxes", "scores", "labels"))
    for (x1, y1, x2, y2), score, label in zip(boxes, scores, labels, strict=True):
        box = [x1, y1, x2 - x1, y2 - y1]
        yield {"image_id": image_id, "category_id": ids[label], "bbox": box, "score": score}


def _drawn(
    prediction: Prediction, classes: Sequence[str], threshold: float, size: tuple[int, int]
) -> list[Drawn]:
    """What is sure enough, highest score first, within an image of (height, width)."""
    shown = prediction["scores"] >= threshold
    height, width = size
    boxes = clip_boxes_to_image(prediction["boxes"][shown], (height - 1, width - 1)).round()
    labels, scores = (prediction[key][shown].tolist() for key in ("labels", "scores"))
    found = [
        Drawn((x1, y1, x2, y2), label, classes[label], score)
        for (x1, y1, x2, y2), label, score in zip(boxes.tolist(), labels, scores, strict=True)
    ]
    return sorted(found, key=lambda one: -one.score)


def _save(image: Tensor, found: Sequence[Drawn], path: Path) -> None:
    jpeg = io.BytesIO()
    draw_detections(to_pil_image(image), found).save(jpeg, "JPEG", quality=90)
    write_atomic(path, jpeg.getbuffer())


def _line(file: Path, found: Sequence[Drawn], seconds: float, threshold: float) -> str:
    """ "photo.jpg: 4 cells, 2 rings, 21 ms": classes as they are named."""
    counts = Counter(one.name for one in found).most_common()
    words = ", ".join(f"{count} {name}" for name, count in counts)
    nothing = f"nothing with a score of {threshold:g} or more"
    return f"{file.name}: {words or nothing}, {1000 * seconds:.0f} ms"
