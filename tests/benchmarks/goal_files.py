"""Goals in a CSV file, each group with the environment that it was measured in beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from in_turn import Goal


def write_goals(
    path: Path, found: Mapping[str, Sequence[Goal]], device: str, environment: Mapping[str, Any]
) -> None:
    """Replaces the rows of the groups that were measured and leaves those of others.

    Args:
        found: goals of each group that has been measured.
        device: name of the processor or GPU, for every row.
    """
    rows = [
        {"group": group, **asdict(goal), "met": goal.met, "device": device}
        for group, goals in found.items()
        for goal in goals
    ]
    about = environments_file(path)
    environments: dict[str, Any] = {}
    if path.exists():
        before = pd.read_csv(path)
        kept = before[~before["group"].isin(list(found))]
        rows = kept.to_dict("records") + rows
        environments = json.loads(about.read_text())
    pd.DataFrame(rows).to_csv(path, index=False)
    environments |= {group: dict(environment) for group in found}
    about.write_text(json.dumps(environments, indent=2) + "\n")


def environments_file(path: Path) -> Path:
    return path.with_suffix(".environment.json")
