"""Every hook there is. `docs/hooks.md` describes each with its shipped users."""

from collections.abc import Sequence

import pluggy

from harness.plugin import declarations as d

PROJECT = "harness"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def harness_backbones() -> Sequence[d.Backbone]:  # type: ignore[empty-body]
    """Backbones: image -> feature maps."""


@hookspec
def harness_necks() -> Sequence[d.Neck]:  # type: ignore[empty-body]
    """Necks: feature maps -> feature maps."""


@hookspec
def harness_rpns() -> Sequence[d.Rpn]:  # type: ignore[empty-body]
    """Region proposal networks: feature maps -> proposals."""


@hookspec
def harness_roi_ops() -> Sequence[d.RoiOp]:  # type: ignore[empty-body]
    """RoI ops: feature maps and proposals -> one small map per proposal."""


@hookspec
def harness_box_heads() -> Sequence[d.BoxHead]:  # type: ignore[empty-body]
    """Box heads: pooled maps -> class scores and refined boxes."""


@hookspec
def harness_dense_heads() -> Sequence[d.DenseHead]:  # type: ignore[empty-body]
    """Dense heads: feature maps -> detections at every cell."""


@hookspec
def harness_architectures() -> Sequence[d.Architecture]:  # type: ignore[empty-body]
    """Architectures: which parts make a detector, and how."""


@hookspec
def harness_detectors() -> Sequence[d.WholeDetector]:  # type: ignore[empty-body]
    """Detectors that come as a whole instead of in parts."""


@hookspec
def harness_datasets() -> Sequence[d.Dataset]:  # type: ignore[empty-body]
    """Data sets in COCO's format."""


@hookspec
def harness_readers() -> Sequence[d.Reader]:  # type: ignore[empty-body]
    """Readers: layouts of data sets on disk."""


@hookspec
def harness_meters() -> Sequence[d.Meter]:  # type: ignore[empty-body]
    """Meters: what a stage measures."""


@hookspec
def harness_modes() -> Sequence[d.Mode]:  # type: ignore[empty-body]
    """Modes: ways to run a detector."""


@hookspec
def harness_executors() -> Sequence[d.Executor]:  # type: ignore[empty-body]
    """Executors: where the cells of a run run."""


@hookspec
def harness_trackers() -> Sequence[d.Tracker]:  # type: ignore[empty-body]
    """Trackers: who receives training curves and final metrics."""


@hookspec
def harness_optimizers() -> Sequence[d.Optimizer]:  # type: ignore[empty-body]
    """Optimisers: gradients -> new weights."""


@hookspec
def harness_schedules() -> Sequence[d.Schedule]:  # type: ignore[empty-body]
    """Schedules: the learning rate of each step."""


@hookspec
def harness_augmentations() -> Sequence[d.Augmentation]:  # type: ignore[empty-body]
    """Augmentations: training samples -> other training samples."""


@hookspec
def harness_recipes() -> Sequence[d.Recipe]:  # type: ignore[empty-body]
    """Recipes: how the authors of a detector train it."""


@hookspec
def harness_sections() -> Sequence[d.Section]:  # type: ignore[empty-body]
    """Sections of the page."""


@hookspec
def harness_figures() -> Sequence[d.Figure]:  # type: ignore[empty-body]
    """Figures of the page."""
