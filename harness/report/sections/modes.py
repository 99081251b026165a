"""What each inference mode costs and gives: a row per mode, each against the detector's eager."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.manifest.schema import MODES, PRECISIONS
from harness.plan.cells import USUAL_MODE, split_mode
from harness.records.frame import latest
from harness.records.record import Record
from harness.report.sections.measured import Measured, measure
from harness.results.protocol import mismatches
from harness.results.run import Run
from harness.results.samples.medians import compare_latency

KINDS = ("network", "postprocessed", "end_to_end")
WHOLE = "latency_end_to_end_p50"
OTHERS = (
    "mode_agreement",
    "ap_check",
    "mode_setup_seconds",
    "mode_compile_seconds",
    "latency_peak_memory",
)
METRICS = (*(f"latency_{kind}_{p}" for kind in KINDS for p in ("p50", "p99")), *OTHERS)
WAYS = ("mode", "precision")  # in which modes are meant to differ
Sign = Literal["", "better", "worse", "noise", "unknown"]
NONE = "–"


@dataclass(frozen=True)
class Ratio:
    """End-to-end time over that of the detector's eager.

    Attributes:
        shown, interval: "0.55" and "[0.54, 0.57]".
        sign: "better" and "worse" are outside the noise; "" where there is nothing to compare.
        words: the same as a clause, or why there is no ratio.
    """

    shown: str = NONE
    interval: str = ""
    sign: Sign = ""
    words: str = ""


@dataclass(frozen=True)
class ModeRow:
    """One mode of one detector, as shown.

    Attributes:
        times: (median, 99th percentile) in ms of `KINDS`.
        ap, ap_eager: AP of the images of the check, 0 to 100.
        setup: seconds until it had run once.
        compiling: how many of them compilers took, "–" where there was none.
        breaks: graph breaks of a compiler, "" where the mode has none to count.
        shown_elsewhere: whether all other tables show this mode.
        error: how its cells failed.
        doubts: why the time or the agreement must be taken with care.
    """

    mode: str
    precision: str
    times: tuple[tuple[str, str], ...]
    ratio: Ratio
    agreement: str
    ap: str
    ap_eager: str
    setup: str
    compiling: str
    memory: str
    breaks: str
    shown_elsewhere: bool
    error: str
    doubts: tuple[str, ...]

    @property
    def has_failed(self) -> bool:
        """And left no numbers."""
        return bool(self.error) and self.times[-1][0] == NONE


@dataclass(frozen=True)
class Modes:
    """Detectors in the order of the suite, modes in that of the grammar.

    Attributes:
        elsewhere: modes that all other tables show.
        doubts: (reason, of which modes).
    """

    rows: tuple[tuple[str, tuple[ModeRow, ...]], ...]
    elsewhere: tuple[str, ...]
    has_breaks: bool
    has_ap: bool
    doubts: tuple[tuple[str, str], ...]


def compare_modes(run: Run) -> Modes | None:
    """None where no detector ran in more than one mode."""
    cells: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in latest(list(run.records)):
        if record.stage == "latency":
            cells[record.detector, record.mode or USUAL_MODE].append(record)
    rows = tuple(
        (name, tuple(_rows(run, name, {m: r for (d, m), r in cells.items() if d == name})))
        for name in run.detectors
    )
    if all(len(own) < 2 for _, own in rows):
        return None
    every = [row for _, own in rows for row in own]
    return Modes(
        rows=tuple((name, own) for name, own in rows if own),
        elsewhere=tuple(dict.fromkeys(row.mode for row in every if row.shown_elsewhere)),
        has_breaks=any(row.breaks for row in every),
        has_ap=any(row.ap != NONE for row in every),
        doubts=tuple(_doubts(rows)),
    )


def _rows(run: Run, name: str, modes: Mapping[str, Sequence[Record]]) -> Iterable[ModeRow]:
    there = sorted(modes, key=_rank)
    found = {mode: _measure_all(run, name, modes[mode]) for mode in there}
    base = found.get(USUAL_MODE, {}).get(WHOLE)
    for mode, measured in found.items():
        yield _row(mode, modes[mode], measured, base if mode != USUAL_MODE else None)


def _rank(name: str) -> tuple[int, int]:
    """Place of a mode in the grammar, those of older versions last."""
    mode, precision = split_mode(name)
    known: tuple[Sequence[str], Sequence[str]] = (MODES, PRECISIONS)
    places = zip((mode, precision), known, strict=True)
    first, second = (names.index(n) if n in names else len(names) for n, names in places)
    return first, second


def _measure_all(run: Run, name: str, records: Sequence[Record]) -> dict[str, Measured]:
    """Of one mode, as the board has it of the mode that is shown elsewhere."""
    index: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.kind == "measurement" and record.scope in ("", f"mode/{record.mode}"):
            index[name, record.metric].append(record)
    return {metric: measure(run, index, name, metric) for metric in METRICS}


def _row(
    mode: str, records: Sequence[Record], measured: Mapping[str, Measured], base: Measured | None
) -> ModeRow:
    whole, checked = measured[WHOLE], measured["ap_check"]
    conditions = _conditions(whole)
    errors = dict.fromkeys(r.error for r in records if r.status != "ok")
    breaks = conditions.get("graph_breaks")
    return ModeRow(
        mode=mode,
        precision=str(conditions.get("precision", "")),
        times=tuple(
            (_show(measured[f"latency_{k}_p50"], 1), _show(measured[f"latency_{k}_p99"], 1))
            for k in KINDS
        ),
        ratio=Ratio() if base is None else _ratio(base, whole),
        agreement=_show(measured["mode_agreement"], 3),
        ap=_show(checked, 1, 100),
        ap_eager=_percent(_conditions(checked).get("ap_eager")),
        setup=_show(measured["mode_setup_seconds"], 1),
        compiling=_show(measured["mode_compile_seconds"], 1),
        memory=_show(measured["latency_peak_memory"], 0),
        breaks="" if breaks is None else str(breaks),
        shown_elsewhere=any(r.kind == "measurement" and not r.scope for r in records),
        error="; ".join(errors),
        doubts=tuple(dict.fromkeys((*whole.reasons, *measured["mode_agreement"].reasons))),
    )


def _ratio(base: Measured, other: Measured) -> Ratio:
    if not base.samples or not other.samples:
        return Ratio(words="there is nothing to compare")
    differing = [
        str(found)
        for found in mismatches(WHOLE, _conditions(base), _conditions(other), same_detector=True)
        if found.name not in WAYS
    ]
    if differing:
        return Ratio(words=f"not measured alike ({'; '.join(differing)})")
    try:
        found = compare_latency(base.samples, other.samples)
    except ValueError as error:
        return Ratio(words=str(error))
    shown = f"{found.ratio:.2f}"
    if math.isnan(found.low):
        return Ratio(shown, "", "unknown", "too few samples to tell it from noise")
    interval = f"[{found.low:.2f}, {found.high:.2f}]"
    if not found.outside:
        return Ratio(shown, interval, "noise", "not distinguishable from eager")
    faster = found.ratio < 1
    return Ratio(shown, interval, "better" if faster else "worse", "faster" if faster else "slower")


def _conditions(measured: Measured) -> Mapping[str, Any]:
    return measured.records[0].conditions if measured.records else {}


def _show(measured: Measured, digits: int, scale: float = 1.0) -> str:
    return f"{measured.value * scale:,.{digits}f}" if measured.is_there else NONE


def _percent(value: object) -> str:
    return f"{100 * value:.1f}" if isinstance(value, float) and not math.isnan(value) else ""


def _doubts(rows: Iterable[tuple[str, Sequence[ModeRow]]]) -> Iterable[tuple[str, str]]:
    """Each reason once, with all that it is said of."""
    told: dict[str, list[str]] = {}
    for name, own in rows:
        for row in own:
            for reason in row.doubts:
                told.setdefault(reason, []).append(f"{name} {row.mode}")
    return ((reason, ", ".join(who)) for reason, who in told.items())
