"""`harness.build`: one detector of a suite, ready to predict."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.manifest.suite import load_manifest
from harness.plan.planner import make_plan
from harness.plugin.manager import load_plugins

if TYPE_CHECKING:
    from harness.model.checkpoint import Checkpoint
    from harness.model.detector import Detector


def build(
    manifest: str | Path,
    detector: str,
    *,
    checkpoint: str | Path | None = None,
    classes: Sequence[str] | int | None = None,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    plugins: Sequence[str] = (),
) -> "Detector":
    """Put a detector of a suite together, in eval mode on the CPU.

    Args:
        manifest: path of the suite's manifest.
        detector: its name there.
        checkpoint: weights: a run's `checkpoint.pt`, a published file, or a raw state dict.
            Without it the weights are the manifest's, else random.
        classes: names, or how many; by default the checkpoint's own, else those of the
            manifest's data.
        profile: of the manifest, "quick" by default.
        overrides: "a.b.c=value" each, as `--set`.
        plugins: modules or files, as `-p`.

    Raises:
        UserError: anything wrong with the manifest, its parts or the checkpoint.
    """
    from harness.model.checkpoint import load_detector, read_checkpoint
    from harness.run.detectors import build_detector

    loaded = None if checkpoint is None else read_checkpoint(checkpoint)
    names = _as_names(classes)
    if names is None and loaded is not None:
        names = class_names(loaded)
    plan = make_plan(
        load_manifest(manifest, profile, overrides),
        load_plugins(plugins),
        only=[detector],
        classes=names,
    )
    built = build_detector(plan, detector, seed=0).detector
    if loaded is not None:
        load_detector(built, loaded)
    return built.eval()


def class_names(checkpoint: "Checkpoint") -> list[str] | None:
    """Of the classes that the weights are for, None where the file does not say."""
    # "CLASSES" is what mmdetection, and so the published files, call it
    found = checkpoint.meta.get("classes", checkpoint.meta.get("CLASSES"))
    return None if found is None else [str(name) for name in found]


def _as_names(classes: Sequence[str] | int | None) -> list[str] | None:
    if isinstance(classes, int):
        return [f"class {i}" for i in range(classes)]
    return None if classes is None else list(classes)
