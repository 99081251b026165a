"""Metrics that are measured alike."""


def family_of(metric: str) -> str:
    """What stands before the first underscore, AP and AR without their number.

    "ap" of "ap50" and "ap_small", "latency" of "latency_network_p50", "macs" of "macs_paper". The
    memory that is noted beside latencies is none.
    """
    if metric == "latency_peak_memory":
        return "memory"
    first = metric.split("_")[0]
    bare = first.rstrip("0123456789")
    return bare if bare in ("ap", "ar") else first


def needs_data(metric: str) -> bool:
    """Whether a metric scores detections against ground truth."""
    return family_of(metric) in ("ap", "ar")
