"""From a loader to a detections file to scores."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import warm_processes
from PIL import Image
from torch import Tensor, nn

from harness.data.annotations import read_annotations
from harness.data.batch import Inputs, Targets
from harness.data.resize import SquashResize
from harness.data.source import Split
from harness.errors import CellError, UserError
from harness.manifest.schema import Evaluate
from harness.model.detector import Detector
from harness.model.types import Detections
from harness.plugin.metrics import Finding
from harness.stages.evaluate import coco_results, detect, evaluate_detector
from harness_plugins.meters.coco_ap import CocoAp

CATEGORIES = {7: "cell", 3: "dot"}  # the file's order is not that of the ids


class Oracle(Detector):
    """Finds what it is told, an image at a time, and squashes images to 32x32."""

    roles: Mapping[str, tuple[str, ...]] = {}

    def __init__(self, answers: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.classes, self.resize = ("dot", "cell"), SquashResize(32, 32)
        self.weight, self.norm = nn.Parameter(torch.ones(1)), nn.BatchNorm2d(3)
        self.answers = answers
        self.seen: list[bool] = []

    def normalize(self, pixels: Tensor) -> Tensor:
        return pixels.float() / 255

    def network(self, inputs: Inputs) -> Tensor:
        self.seen.append(self.training or torch.is_grad_enabled())
        # the top left pixel of each image is its number
        return (inputs.pixels[:, 0, 0, 0] * 255).round().long()

    def postprocess(self, outputs: Tensor, inputs: Inputs) -> Detections:
        rows = [self.answers[i] for i in outputs.tolist()]
        width = max(len(labels) for _, labels in rows)
        boxes, labels = torch.zeros(len(rows), width, 4), torch.zeros(len(rows), width).long()
        for i, (box, label) in enumerate(rows):
            boxes[i, : len(box)], labels[i, : len(label)] = box, label
        counts = torch.tensor([len(label) for _, label in rows])
        return Detections(boxes, torch.full((len(rows), width), 0.9), labels, counts)

    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        raise NotImplementedError


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Five grey images of different sizes with 0 to 4 boxes."""
    (tmp_path / "val").mkdir()
    images, annotations = [], []
    for i in range(5):
        height, width = 50 + 10 * i, 90 - 5 * i
        Image.fromarray(np.full((height, width, 3), i, np.uint8)).save(tmp_path / f"val/{i}.png")
        images.append({"id": 100 - i, "file_name": f"{i}.png", "height": height, "width": width})
        for j in range(i):
            box = [3.25 * j, 2.5 * j, 20.125, 10 + j]
            about = {"image_id": 100 - i, "category_id": (3, 7)[j % 2], "iscrowd": 0}
            annotations.append(
                {"id": len(annotations), "bbox": box, "area": box[2] * box[3], **about}
            )
    categories = [{"id": i, "name": name} for i, name in CATEGORIES.items()]
    path = tmp_path / "instances_val.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return Split("val", tmp_path / "val", path)


@pytest.fixture
def oracle(split: Split) -> Oracle:
    return make_oracle(split.annotations)


def make_oracle(annotations: Path) -> Oracle:
    """Finds the ground truth."""
    truth = read_annotations(annotations)
    objects = [truth.of_image(i) for i in range(len(truth.images))]
    return Oracle([(torch.from_numpy(o.boxes), torch.from_numpy(o.labels)) for o in objects])


def run(oracle: Oracle, split: Split, path: Path, **settings):
    chosen = Evaluate(**{"batch_size": 2, "workers": 0, **settings})
    progress: list[tuple[int, int]] = []
    found = evaluate_detector(
        oracle, split, chosen, [CocoAp()], path, lambda *state: progress.append(state)
    )
    return {(m.metric, m.scope): m for m in found}, progress


def test_ground_truth_as_detections_scores_one(oracle, split, tmp_path):
    path = tmp_path / "detections.json"
    found, progress = run(oracle.train(), split, path)
    assert found["ap", ""].value == pytest.approx(1.0, abs=1e-12)
    assert found["ap", "class/cell"].value == pytest.approx(1.0, abs=1e-12)
    assert found["ap", ""].count == 5
    assert found["ap", ""].conditions["ops"] in ("compiled-cpu", "reference")
    assert found["ap", ""].conditions["device_type"] == "cpu"
    assert progress == [(2, 5), (4, 5), (5, 5)]
    written = json.loads(path.read_text())
    truth = json.loads(split.annotations.read_text())["annotations"]
    key = ("image_id", "category_id", "bbox")
    assert [[d[k] for k in key] for d in written] == [[a[k] for k in key] for a in truth]
    assert {d["score"] for d in written} == {float(np.float32(0.9))}


def test_detector_runs_in_evaluation_mode_and_gets_its_mode_back(oracle, split, tmp_path):
    oracle.train()
    oracle.norm.eval()
    run(oracle, split, tmp_path / "detections.json")
    assert oracle.seen == [False] * 3
    assert oracle.training
    assert not oracle.norm.training


def test_max_images_evaluates_on_the_first_alone(oracle, split, tmp_path):
    path = tmp_path / "detections.json"
    found, progress = run(oracle, split, path, max_images=3)
    assert found["ap", ""].value == pytest.approx(1.0, abs=1e-12)
    assert found["ap", ""].conditions["images"] == 3
    assert progress[-1] == (3, 3)
    assert {d["image_id"] for d in json.loads(path.read_text())} == {99, 98}


def test_workers_change_nothing(oracle, split, tmp_path):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    run(oracle, split, one)
    run(oracle, split, two, workers=1, batch_size=3)
    assert one.read_bytes() == two.read_bytes()


PROCESS = """
import sys
from pathlib import Path
import torch.distributed as dist
sys.path.insert(0, sys.argv[1])
from test_evaluate import Split, make_oracle, run

folder = Path(sys.argv[2])
split = Split("val", folder / "val", folder / "instances_val.json")
dist.init_process_group("gloo")
found, _ = run(make_oracle(split.annotations), split, folder / "shared.json")
assert bool(found) == (dist.get_rank() == 0)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_write_what_one_writes(oracle, split, tmp_path):
    run(oracle, split, tmp_path / "alone.json")
    script = tmp_path / "process.py"
    script.write_text(PROCESS)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = warm_processes.run([*launch, script, Path(__file__).parent, tmp_path], timeout=200)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "shared.json").read_bytes() == (tmp_path / "alone.json").read_bytes()


def test_finding_nothing_scores_zero_with_a_warning(oracle, split, tmp_path):
    oracle.answers = [(torch.zeros(0, 4), torch.zeros(0).long())] * 5
    found, _ = run(oracle, split, tmp_path / "detections.json")
    assert found["ap", ""].value == 0.0
    assert found["ap", ""].warnings == (Finding("nothing_found"),)


def test_a_mistake_in_the_data_is_the_users(oracle, split, tmp_path):
    (split.images / "3.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"3\.png"):
        run(oracle, split, tmp_path / "detections.json")
    assert not (tmp_path / "detections.json").exists()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_detections_that_are_not_finite_fail_the_cell(bad):
    detections = Detections(
        torch.tensor([[[0, 0, bad, 5]]]),
        torch.ones(1, 1),
        torch.zeros(1, 1).long(),
        torch.tensor([1]),
    )
    with pytest.raises(CellError, match="image 4 are not finite"):
        coco_results(detections, [4], [1])


def test_padding_is_no_detection_even_if_it_is_nan():
    boxes = torch.tensor([[[1.0, 2.0, 4.0, 8.0], [float("nan")] * 4]])
    detections = Detections(
        boxes, torch.tensor([[0.5, 0.0]]), torch.tensor([[1, 0]]), torch.tensor([1])
    )
    assert coco_results(detections, [4], [10, 20]) == [
        {"image_id": 4, "category_id": 20, "bbox": [1.0, 2.0, 3.0, 6.0], "score": 0.5}
    ]


def test_no_images_is_no_detections(oracle):
    assert detect(oracle, [], [3, 7], 0) == []
