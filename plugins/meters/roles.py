"""Splitting a cost by the role that a module plays in its detector."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from harness.model.detector import Detector
from harness.model.types import Proposals
from harness.records.measurement import Measurement

OTHER = "other"
Roles = Mapping[str, tuple[str, ...]]


def role_of(module: str, roles: Roles) -> str:
    """Role of a module by its name; the longest prefix decides, "other" has none."""
    fits = [
        (len(prefix), role)
        for role, prefixes in roles.items()
        for prefix in prefixes
        if module == prefix or module.startswith(prefix + ".")
    ]
    return max(fits)[1] if fits else OTHER


def sum_by_role(counts: Mapping[str, int], roles: Roles) -> dict[str, int]:
    """Counts by module name -> counts by role, every role present."""
    summed = Counter(dict.fromkeys(roles, 0))
    for module, count in counts.items():
        summed[role_of(module, roles)] += count
    return {role: count for role, count in summed.items() if count or role in roles}


def measure_by_role(
    metric: str, counts: Mapping[str, int], detector: Detector, **about: Any
) -> list[Measurement]:
    """A total in millions and its split.

    Args:
        metric: its name; it is counted in millions.
        counts: by module name.
        detector: whose roles split the count.
        about: `conditions` and `warnings` of every number.
    """
    split = sum_by_role(counts, detector.roles)
    scopes = {"": sum(split.values()), **{f"role/{role}": n for role, n in split.items()}}
    return [
        Measurement(metric, n / 1e6, scope=scope, count=n, **about) for scope, n in scopes.items()
    ]


def input_conditions(pixels: Tensor) -> dict[str, Any]:
    """Conditions that every count for one image has."""
    return {"batch_size": len(pixels), "input_size": f"{pixels.shape[2]}x{pixels.shape[3]}"}


def proposal_conditions(outputs: Any) -> dict[str, Any]:
    """Proposals that the heads ran on, padding included; empty for a one-stage detector.

    Looks for `outputs.proposals`: `Proposals`, or one tensor of boxes per image.
    """
    proposals = getattr(outputs, "proposals", None)
    if isinstance(proposals, Proposals):
        return {
            "proposals": int(proposals.boxes.shape[1]),
            "proposals_valid": int(proposals.counts.sum()),
        }
    if isinstance(proposals, list | tuple):
        found = sum(len(boxes) for boxes in proposals)
        return {"proposals": found, "proposals_valid": found}
    return {}
