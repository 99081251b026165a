"""A suite that runs in a second: a few drawn images, a detector of three convolutions."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warm_processes
from PIL import Image

PLUGIN = Path(__file__).parent / "run" / "tiny_detectors.py"
HARNESS = [sys.executable, "-m", "harness"]

MANIFEST = """\
suite: tiny
defaults:
  data: {{use: coco, params: {{root: {root}}}}}
  meters: [coco_ap, parameters, latency]
  columns: [ap, parameters, latency_end_to_end_p50]
  evaluate: {{workers: 0}}
  latency: {{runs: 2, images: 2, warmup_runs: 1, warmup_seconds: 0}}
  detector:
    train: {{steps: 2, batch_size: 2, workers: 0, augment: none, clip_norm: null}}
profiles:
  quick: {{}}
detectors:
{detectors}
"""

Edit = Callable[[dict[str, Any]], object]


def make_coco(root: Path, images: int = 4, edit: Edit | None = None) -> Path:
    """A folder in COCO's layout; `edit` may spoil the validation annotations."""
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        document = _draw(root / split, images)
        if edit is not None and split == "val":
            edit(document)
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))
    return root


def _draw(folder: Path, images: int) -> dict[str, Any]:
    document: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 3, "name": "square"}, {"id": 7, "name": "bar"}],
    }
    for n in range(1, images + 1):
        pixels = np.full((48, 64, 3), 30 * n % 256, np.uint8)
        name = f"{n}.jpg"
        document["images"].append({"id": n, "file_name": name, "width": 64, "height": 48})
        for k, (category, box) in enumerate([(3, [4 + n, 6, 12, 12]), (7, [30, 20, 30, 8])]):
            x, y, w, h = box
            pixels[y : y + h, x : x + w] = (250 - 100 * k, 20 * n, 200)
            document["annotations"].append(
                {
                    "id": 2 * n + k,
                    "image_id": n,
                    "category_id": category,
                    "bbox": box,
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
        Image.fromarray(pixels).save(folder / name, quality=95)
    return document


def tiny(name: str = "tiny", **params: Any) -> str:
    """A detector's entry in the manifest."""
    return f"  {name}: {{detector: {{use: tiny, params: {json.dumps(params)}}}}}"


def write_manifest(path: Path, root: Path, detectors: Iterable[str] = (tiny(),)) -> Path:
    path.write_text(MANIFEST.format(root=root, detectors="\n".join(detectors)))
    return path


def environment(folder: Path) -> dict[str, str]:
    """One thread and a cache of one's own."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder / "cache")}


def harness_here(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same in this process, where starting one is not what is tested."""
    from harness.cli.app import run

    given, out, err = [str(one) for one in arguments], io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setenv("XDG_CACHE_HOME", str(cwd / "cache"))
        patch.setattr(sys, "argv", ["harness", *given])
        patch.setattr(subprocess, "Popen", warm_processes.Popen)  # of cells
        code = run(given)
    return subprocess.CompletedProcess(given, code, out.getvalue(), err.getvalue())


def harness(
    *arguments: object, cwd: Path, before: str = "", timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process; `before` is shell text such as a ulimit."""
    command = [*HARNESS, *map(str, arguments)]
    if before:
        command = ["sh", "-c", f'{before}; exec "$@"', "sh", *command]
    return warm_processes.run(command, cwd=cwd, env=environment(cwd), timeout=timeout)
