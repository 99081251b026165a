"""Which modes this device has, and which of them stands for a detector in every table."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from harness.errors import UserError
from harness.modes.build import unavailable
from harness.plan.cells import USUAL_MODE, Cell, Plan, name_mode, split_mode
from harness.records.measurement import Measurement
from harness.records.record import Record


def settle_modes(plan: Plan, device: torch.device) -> tuple[Plan, str]:
    """The plan without the cells that the device cannot run, and a note on them or "".

    Raises:
        UserError: a mode or precision that was asked for by its name is not to be had here.
    """
    pairs = dict.fromkeys(split_mode(cell.mode) for cell in plan.cells if cell.mode)
    reasons = {pair: why for pair in pairs if (why := unavailable(*pair, device)) is not None}
    chosen = plan.suite.latency
    for mode, precision in pairs:
        if chosen.precisions != "all":
            _require("precision", precision, unavailable(USUAL_MODE, precision, device), device)
        own = [reasons.get(pair) for pair in pairs if pair[0] == mode]
        if chosen.modes != "all" and all(own):
            _require("mode", mode, own[0], device)
    if not reasons:
        return plan, ""
    without = {name_mode(*pair): why for pair, why in reasons.items()}
    cells = tuple(cell for cell in plan.cells if cell.mode not in without)
    told = f"modes that {device.type} does not have are left out: {_in_words(without)}"
    return replace(plan, cells=cells), told


def _require(axis: str, name: str, reason: str | None, device: torch.device) -> None:
    if reason is not None:
        raise UserError(
            f"the {axis} '{name}' cannot run on this device ({device.type}): {reason}",
            hint=f"--{axis}s all takes those that can",
        )


def _in_words(reasons: dict[str, str]) -> str:
    modes: dict[str, list[str]] = {}
    for mode, reason in reasons.items():
        modes.setdefault(reason, []).append(mode)
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in modes.items())


def scope_of(cell: Cell, plan: Plan, before: Iterable[Record]) -> str:
    """Scope of the numbers of a cell with a mode: "" for what tables show, else "mode/<mode>".

    Of a detector's modes tables show the first of the plan. A run that goes on keeps the one that
    it began with: two of them would be taken for two seeds.

    Args:
        before: the latest records of the run.
    """
    shown = [
        r.mode
        for r in before
        if (r.detector, r.seed, r.stage) == (cell.detector, cell.seed, cell.stage)
        and (r.kind, r.scope) == ("measurement", "")
    ]
    own = [c.mode for c in plan.cells if (c.detector, c.seed) == (cell.detector, cell.seed)]
    first = next(mode for mode in [*shown, *own] if mode)
    return "" if cell.mode == first else f"mode/{cell.mode}"


def with_scope(measured: Sequence[Measurement], scope: str) -> list[Measurement]:
    """The measurements under a scope; their own scopes stand below it."""
    if not scope:
        return list(measured)
    return [replace(m, scope=f"{scope}/{m.scope}".rstrip("/")) for m in measured]
