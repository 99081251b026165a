"""What a plugin is made of: the declarations, `hookimpl`, and the facts of a metric.

These names keep their meaning from one minor version to the next; everything else of the core may
move. Parts, stages and runs have their own public modules (`docs/hooks.md`).
"""

from harness.errors import CellError, UserError
from harness.plugin.declarations import (
    Architecture,
    Augmentation,
    Backbone,
    BoxHead,
    Dataset,
    Declaration,
    DenseHead,
    Executor,
    Figure,
    Meter,
    Mode,
    Neck,
    NoParams,
    Optimizer,
    Params,
    Reader,
    Recipe,
    RoiOp,
    Rpn,
    Schedule,
    Section,
    Tracker,
    Trainee,
    WholeDetector,
)
from harness.plugin.hookspecs import hookimpl
from harness.plugin.lengths import Length, Span
from harness.plugin.metrics import Finding, MetricSpec, Scoring

__all__ = [
    "Architecture",
    "Augmentation",
    "Backbone",
    "BoxHead",
    "CellError",
    "Dataset",
    "Declaration",
    "DenseHead",
    "Executor",
    "Figure",
    "Finding",
    "Length",
    "Meter",
    "MetricSpec",
    "Mode",
    "Neck",
    "NoParams",
    "Optimizer",
    "Params",
    "Reader",
    "Recipe",
    "RoiOp",
    "Rpn",
    "Schedule",
    "Scoring",
    "Section",
    "Span",
    "Tracker",
    "Trainee",
    "UserError",
    "WholeDetector",
    "hookimpl",
]
