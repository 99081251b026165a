"""Sends training curves and final metrics to accelerate's trackers."""

from collections.abc import Sequence
from typing import Literal

from harness.plugin import NoParams, Params, Tracker, hookimpl


class WandbParams(Params):
    """Where the runs appear: one for each cell, in a group for each run of the harness.

    Attributes:
        project: the suite's name without.
        entity: user or team; the account's own without.
        mode: null is what `WANDB_MODE` says, else online.
    """

    project: str | None = None
    entity: str | None = None
    mode: Literal["online", "offline"] | None = None


class MlflowParams(Params):
    """Where the runs appear: one for each cell.

    Attributes:
        uri: of the tracking server or store; null is what `MLFLOW_TRACKING_URI` says, else
            MLflow's own default.
        experiment: the suite's name without; `MLFLOW_EXPERIMENT_NAME` goes first.
    """

    uri: str | None = None
    experiment: str | None = None


@hookimpl
def harness_trackers() -> Sequence[Tracker]:
    return [
        Tracker(
            name="tensorboard",
            target="harness_plugins.trackers.tensorboard_files:track",
            params=NoParams,
            summary="event files in the run's folder; needs harness[tensorboard]",
        ),
        Tracker(
            name="wandb",
            target="harness_plugins.trackers.wandb_runs:track",
            params=WandbParams,
            summary="runs of Weights & Biases; needs wandb",
        ),
        Tracker(
            name="mlflow",
            target="harness_plugins.trackers.mlflow_runs:track",
            params=MlflowParams,
            summary="runs of MLflow; needs mlflow",
        ),
    ]
