"""Whether latencies on a GPU are those of launching kernels, not of computing."""

from harness.report.sections.measured import Board

METRIC = "latency_end_to_end_p50"
MOSTLY_IDLE = 0.5


def explain_launching(board: Board) -> str:
    """One sentence where the GPU was idle most of the time with some detector; else ""."""
    idle = {name: share for name in board.detectors if (share := _idle_share(board, name))}
    bound = [name for name, share in idle.items() if share > MOSTLY_IDLE]
    if not bound:
        return ""
    least = min(idle[name] for name in bound)
    shares = f"{least:.0%}" if len(bound) == 1 else f"{least:.0%} or more"
    return (
        f"With {', '.join(bound)} the GPU was idle {shares} of the time: such a latency is the "
        "time it takes to launch the kernels, so a detector that computes less looks no faster "
        "unless it also launches fewer."
    )


def _idle_share(board: Board, detector: str) -> float | None:
    if not board.has(METRIC):
        return None
    records = board.of(detector, METRIC).records
    shares = [record.conditions.get("device_idle_share") for record in records]
    known = [share for share in shares if isinstance(share, float)]
    return min(known) if known else None
