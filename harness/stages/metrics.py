"""What the stages themselves measure, beside their meters."""

import math
from collections.abc import Iterator, Sequence

from harness.plugin.catalog import Catalog
from harness.plugin.metrics import Finding, MetricSpec
from harness.records.record import Record

TRAIN_LOSS = "train_loss"
TRAIN_SPEED = "train_images_per_second"
TRAIN_WAIT = "train_loader_wait"
TRAIN_TIME = "train_wall_time"
TRAIN_MEMORY = "train_peak_memory"
MODE_SETUP = "mode_setup_seconds"
MODE_COMPILE = "mode_compile_seconds"
MODE_AGREEMENT = "mode_agreement"
MODE_SCORE = "ap_check"
CELL_SECONDS = "cell_seconds"

FEW_STEPS = 20
LONG_WAIT = 0.25
CHECKS = "harness.stages.metrics:"
TRAINING = (
    "device", "precision", "batch_size", "processes", "accumulate", "workers", "threads", "memory",
)  # fmt: skip
TIMED_MODE = ("device", "device_type", "precision", "mode", "batch_size", "threads", "ops")


def few_steps(record: Record, samples: Sequence[float]) -> Iterator[Finding]:
    if record.count is not None and record.count < FEW_STEPS:
        yield Finding("few_steps", params={"steps": record.count})


def resumed(record: Record, samples: Sequence[float]) -> Iterator[Finding]:
    sessions = record.conditions.get("sessions", 1)
    if sessions > 1:
        yield Finding("resumed", params={"sessions": sessions})


def long_wait(record: Record, samples: Sequence[float]) -> Iterator[Finding]:
    if not math.isnan(record.value) and record.value > LONG_WAIT:
        yield Finding("loader_bound", "remark")


def _training(name: str, title: str, unit: str, **more: object) -> MetricSpec:
    settings = ("optimizer", "steps", "recipe")
    return MetricSpec(name, title, unit, protocol=TRAINING, settings=settings, **more)  # type: ignore[arg-type]


METRICS = Catalog.of(
    [
        _training(
            TRAIN_LOSS, "training loss", "", digits=3, better="lower", comparable=False,
            summary="mean over the last logged steps, by term as well",
        ),
        _training(
            TRAIN_SPEED, "training speed", "images/s", digits=1, better="higher", kind="rate",
            checks=(CHECKS + "few_steps",), summary="of the training loop",
        ),
        _training(
            TRAIN_WAIT, "wait for the loader", "fraction", better="lower",
            checks=(CHECKS + "long_wait",), summary="of a step's time",
        ),
        _training(
            TRAIN_TIME, "training time", "s", digits=0, better="lower", kind="time",
            checks=(CHECKS + "resumed",), summary="wall time of the training loop",
        ),
        _training(
            TRAIN_MEMORY, "training memory", "MiB", digits=0, better="lower", kind="size",
            summary="peak of the training",
        ),
        MetricSpec(
            MODE_SETUP, "set-up", "s", digits=1, better="lower", kind="time", protocol=TIMED_MODE,
            summary="until a mode has run once",
        ),
        MetricSpec(
            MODE_COMPILE, "preparing", "s", digits=1, better="lower", kind="time",
            protocol=TIMED_MODE, summary="what compiling or exporting took of it",
        ),
        MetricSpec(
            MODE_AGREEMENT, "agreement", digits=3, better="higher", of_cell=True,
            summary="how far a mode finds what eager float32 finds",
        ),
        MetricSpec(
            MODE_SCORE, "AP of the check", "AP", scale=100.0, shown_unit="%", digits=1,
            better="higher", of_cell=True, summary="of a mode, on the images of its check",
        ),
        MetricSpec(
            CELL_SECONDS, "time of the cell", "s", digits=1, better="lower", kind="time",
            of_cell=True, summary="a whole stage of a detector",
        ),
    ],
    {
        "untrained": "the weights are random: the detector was not trained",
        "few_steps": "steps: only {steps}",
        "resumed": "the training ran in {sessions} sessions",
        "loader_bound": "the loader set the pace of training, not the network",
        "checkpoint_note": "{note}",
        "mode_differs": "does not find what eager finds on {images} images: {problem}; with random "
        "weights all scores are alike, so this is not a failure",
        "no_int8_products": "this processor has no fast products of 8-bit numbers (VNNI): "
        "8 bits are not faster here",
        "class_ids_off": "every category_id of {file} is taken as one {less}: of {boxes} boxes "
        "{shifted} then lie on objects of their class, instead of {as_given}",
        "images_without": "{file} has no detections in {without} of {images} images with objects: "
        "is it whole?",
        "fractions": "no box of {file} is longer than a pixel: fractions in place of pixels?",
        "corners": "{over} of {boxes} boxes in {file} end beyond their image: corners, "
        "not x, y, w, h?",
        "boxes_elsewhere": "only {placed} of {objects} objects have a box of {file} on them, by an "
        "IoU of a half: are its boxes x, y, w, h in pixels of the images as annotated?",
        "other_classes": "of {placed} objects that {file} takes for {classes}, only {own} "
        "are: are its class ids those of the annotations?",
        "mode_without_score": "the suite measures no score, so only agreement was checked",
    },
)  # fmt: skip
