"""A run of MLflow for each cell."""

from accelerate.tracking import MLflowTracker

from harness.errors import UserError
from harness.run.tracking import TrackedCell

try:
    import mlflow
except ImportError as error:
    raise UserError(
        f"the tracker 'mlflow' needs mlflow ({error})",
        where="trackers",
        hint="pip install mlflow",
    ) from error


def track(cell: TrackedCell, uri: str | None, experiment: str | None) -> MLflowTracker:
    """A repeated attempt is a further run."""
    if uri is not None:
        mlflow.set_tracking_uri(uri)
    about = {"run": cell.run, "detector": cell.detector, "seed": str(cell.seed)}
    return MLflowTracker(experiment or cell.suite, run_name=f"{cell.run}/{cell.name}", tags=about)
