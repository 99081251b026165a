"""`harness export-model`: a trained detector as files of a runtime."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


def export_model(
    manifest: o.ManifestPath,
    detector: Annotated[str, typer.Argument(help="Name of the detector in the suite.")],
    checkpoint: Annotated[Path, typer.Option(help="Weights: a run's, or published ones.")],
    to: Annotated[str, typer.Option(metavar="MODE", help="onnxruntime, openvino, ...")],
    out: Annotated[Path, typer.Option(help="Folder, which is made.")],
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 1,
    seed: Annotated[int, typer.Option(help="Draws the training images that 8 bits need.")] = 0,
    profile: o.Profile = None,
    data: o.DataRoot = None,
    sets: o.Sets = [],  # noqa: B006
    plugins: o.Plugins = [],  # noqa: B006
) -> None:
    """Write the model files of a mode, and model.json: how to feed and read them."""
    from harness.manifest.suite import load_manifest
    from harness.plan.planner import make_plan
    from harness.plugin.manager import load_plugins
    from harness.run.model_files import write_model

    plan = make_plan(
        load_manifest(manifest, profile, sets),
        load_plugins(plugins),
        only=[detector],
        modes=[to],
        data_root=data,
    )
    written = write_model(plan, detector, checkpoint, to, out, batch_size=batch_size, seed=seed)
    print(f"{', '.join(written)} written in {out}")
