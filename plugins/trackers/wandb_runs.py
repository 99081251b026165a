"""A run of Weights & Biases for each cell."""

from accelerate.tracking import WandBTracker

from harness.errors import UserError
from harness.run.tracking import TrackedCell

try:
    import wandb  # noqa: F401  accelerate imports it when it starts
except ImportError as error:
    raise UserError(
        f"the tracker 'wandb' needs wandb ({error})",
        where="trackers",
        hint="pip install wandb",
    ) from error


def track(
    cell: TrackedCell, project: str | None, entity: str | None, mode: str | None
) -> WandBTracker:
    """A repeated attempt is a further run."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    about = {"detector": cell.detector, "seed": cell.seed, "stage": cell.stage, "mode": cell.mode}
    return WandBTracker(
        project or cell.suite, name=cell.name, group=cell.run, entity=entity, mode=mode,
        dir=cell.folder, config=about, reinit="finish_previous",
    )  # fmt: skip
