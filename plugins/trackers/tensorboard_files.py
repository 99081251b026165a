"""Event files of TensorBoard, a folder for each cell."""

from accelerate.tracking import TensorBoardTracker

from harness.errors import UserError
from harness.run.tracking import TrackedCell

try:
    import tensorboard  # noqa: F401  accelerate imports it when it starts
except ImportError as error:
    raise UserError(
        f"the tracker 'tensorboard' needs tensorboard ({error})",
        where="trackers",
        hint="pip install 'harness[tensorboard]'",
    ) from error


def track(cell: TrackedCell) -> TensorBoardTracker:
    """What an earlier attempt has told of the same steps, TensorBoard leaves out."""
    return TensorBoardTracker("", cell.folder, purge_step=cell.first_step)
