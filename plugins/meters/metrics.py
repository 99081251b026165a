"""What the meters of this family write, and how their warnings read."""

from collections.abc import Mapping

from harness.plugin.metrics import MetricSpec, Scoring

CHECKS = "harness_plugins.meters.checks:"
LATENCY_KINDS = {
    "network": "network",
    "postprocessed": "network + NMS",
    "end_to_end": "latency",
}
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0}
SPREAD = "spread"
COCO_DETECTIONS = 100
FLOOR = 0.01  # of AP: whoever has less has learned next to nothing

SELECTION = ("score_threshold", "nms", "detections_per_image")
SCORE_PROTOCOL = (
    "annotations_sha256",
    "images",
    "evaluator",
    "iou_type",
    "iou_thresholds",
    "max_detections",
    "area",
    "area_range",
)
SCORE_CHECKS = tuple(
    CHECKS + name
    for name in ("untrained_score", "few_images", "few_boxes", "few_object_images", "nothing_found")
)
LATENCY_PROTOCOL = (
    "device",
    "device_type",
    "precision",
    "mode",
    "batch_size",
    "threads",
    "ops",
    "images",
    "image_sizes",
    "clock",
    "classes",
)
LATENCY_SETTINGS = ("input", "input_sizes", *SELECTION)
LATENCY_CHECKS = tuple(
    CHECKS + name
    for name in (
        "untrained_time",
        "few_samples",
        "impossible_samples",
        "unbounded_percentile",
        "drifting",
        "dependent",
        "short_warm_up",
        "slow_ops",
        "changing_clock",
    )
)
LATENCY_CLAIMS = ("device", "precision", "mode", "batch_size", "input")
DEPLOYMENT_PROTOCOL = (
    "device", "device_type", "precision", "mode", "batch_size", "threads", "ops", "classes",
)  # fmt: skip
ENERGY_PROTOCOL = (*(name for name in LATENCY_PROTOCOL if name != "clock"), "counters")
ENERGY_CHECKS = tuple(CHECKS + name for name in ("untrained_time", "short_warm_up", "slow_ops"))
COST_PROTOCOL = ("rule", "counter", "batch_size", "classes")
COST_SETTINGS = ("input", "input_size", "proposals")


def score(name: str, title: str, scoring: Scoring, **more: object) -> MetricSpec:
    """An AP or AR, recorded as 0 to 1 and shown as 0 to 100."""
    return MetricSpec(
        name,
        title,
        unit="AP",
        scale=100.0,
        shown_unit="%",
        digits=1,
        better="higher",
        kind="score",
        protocol=SCORE_PROTOCOL,
        settings=("input", *SELECTION, "precision", "recipe"),
        interval="bootstrap",
        scoring=scoring,
        checks=SCORE_CHECKS,
        claims=("input",),
        **more,  # type: ignore[arg-type]
    )


def coco_metrics(max_detections: int = COCO_DETECTIONS) -> tuple[MetricSpec, ...]:
    """COCO's twelve figures; with another limit of detections than 100, of that limit."""
    caption = (
        "AP: COCO's, by {evaluator}, at most {max_detections} detections per image, {images} "
        "images[, in {precision} with TF32 off]; size bins by {area} area"
    )
    limit = max_detections
    ap = [
        score("ap", "AP", Scoring(limit=limit), caption=caption, role="score",
              question="Most accurate", floor=FLOOR, ranged=True),
        score("ap50", "AP50", Scoring(iou=0.50, limit=limit)),
        score("ap75", "AP75", Scoring(iou=0.75, limit=limit)),
        score("ap_small", "AP-small", Scoring(area="small", limit=limit), role="score",
              question="Best on small objects"),
        *(score(f"ap_{area}", f"AP-{area}", Scoring(area=area, limit=limit))
          for area in ("medium", "large")),
    ]  # fmt: skip
    ar = [
        *(score(f"ar_{n}", f"AR@{n}", Scoring("recall", limit=n)) for n in (1, 10, limit)),
        *(score(f"ar_{area}", f"AR-{area}", Scoring("recall", area=area, limit=limit))
          for area in ("small", "medium", "large")),
    ]  # fmt: skip
    return (*ap, *ar)


def latency_metrics() -> tuple[MetricSpec, ...]:
    """Percentiles and spread of the three spans, throughput and memory."""
    times = [
        _latency(kind, statistic) for kind in LATENCY_KINDS for statistic in (*PERCENTILES, SPREAD)
    ]
    protocol, settings, claims = LATENCY_PROTOCOL, LATENCY_SETTINGS, LATENCY_CLAIMS
    throughput = MetricSpec(
        "throughput", unit="images/s", better="higher", kind="rate", protocol=protocol,
        settings=settings, samples_of=latency_name("end_to_end", "p50"), checks=LATENCY_CHECKS,
        claims=claims,
    )  # fmt: skip
    memory = MetricSpec(
        "latency_peak_memory", "peak memory", "MiB", digits=0, better="lower", kind="size",
        protocol=(*protocol, "memory"), settings=settings,
    )  # fmt: skip
    return (*times, throughput, memory)


def latency_name(kind: str, statistic: str) -> str:
    """The metric of a statistic of a span."""
    return f"latency_{kind}_{statistic}"


def _latency(kind: str, statistic: str) -> MetricSpec:
    whole = (kind, statistic) == ("end_to_end", "p50")
    title = LATENCY_KINDS[kind] if whole else f"{LATENCY_KINDS[kind]} {statistic}"
    percent = PERCENTILES.get(statistic)
    caption = (
        "latency: median from decoded image to detections, batch {batch_size}, {device}, "
        "threads {threads}, {precision}, {mode}, ops {ops}"
    )
    short = (f"latency_{statistic}",) if kind == "end_to_end" and percent else ()
    return MetricSpec(
        latency_name(kind, statistic), title, "ms", digits=1, better="lower", kind="time",
        protocol=LATENCY_PROTOCOL, settings=LATENCY_SETTINGS,
        interval="samples" if percent else "", percent=percent,
        samples_of="" if statistic == "p50" else latency_name(kind, "p50"),
        checks=LATENCY_CHECKS, claims=LATENCY_CLAIMS, caption=caption if whole else "",
        role="cost" if whole else "", question="Fastest" if whole else "",
        short=("latency", *short) if whole else short,
    )  # fmt: skip


def cost_metric(name: str, title: str, unit: str, **more: object) -> MetricSpec:
    """A number that is counted."""
    given = {"protocol": COST_PROTOCOL, "settings": COST_SETTINGS, "claims": ("classes", "input")}
    return MetricSpec(
        name, title, unit, digits=1 if unit == "MMACs" else 2, better="lower", kind="count",
        interval="exact", **{**given, **more},  # type: ignore[arg-type]
    )  # fmt: skip


def deployment_metrics() -> tuple[MetricSpec, ...]:
    """The size of what is shipped, and the times until it has answered once."""
    size = MetricSpec(
        "model_size", "model size", "MB", better="lower", kind="size", interval="exact",
        protocol=("counted", "classes"),
        caption="model size: {counted}, in MB of a million bytes",
    )  # fmt: skip
    times = [
        MetricSpec(
            name, title, unit, digits=digits, better="lower", kind="time", interval="samples",
            percent=50, protocol=DEPLOYMENT_PROTOCOL, settings=("input",), caption=caption,
        )
        for name, title, unit, digits, caption in (
            ("load_time", "load time", "s", 2,
             "load time: from files that the system has in memory to sessions that are ready"),
            ("first_inference", "first inference", "ms", 1,
             "first inference: end to end, batch {batch_size}, just after loading"),
        )
    ]  # fmt: skip
    return (size, *times)


def energy_metrics() -> tuple[MetricSpec, ...]:
    """All that is drawn for an image, and what of it is above the idle machine's draw."""
    return tuple(
        MetricSpec(
            name, title, "mJ", digits=1, better="lower", protocol=ENERGY_PROTOCOL,
            settings=LATENCY_SETTINGS, interval="samples", percent=50, checks=ENERGY_CHECKS,
            claims=LATENCY_CLAIMS, caption=caption, short=short,
        )
        for name, title, short, caption in (
            ("energy_per_image", "energy", ("energy",),
             "energy: what {counters} draws per image, end to end, batch {batch_size}, {device}, "
             "with the {idle_watts} W of the idle machine"),
            ("net_energy_per_image", "energy above idle", ("net_energy",), ""),
        )
    )  # fmt: skip


PROFILED = MetricSpec(
    "profiled_network", "profiled network", "ms", digits=2, better="lower", kind="time",
    protocol=DEPLOYMENT_PROTOCOL, settings=("input", "input_size"), interval="samples", percent=50,
    summary="inside a runtime's graphs, under its own profiler, by role",
)  # fmt: skip

COSTS: Mapping[str, MetricSpec] = {
    spec.name: spec
    for spec in (
        cost_metric(
            "macs_paper",
            "MACs",
            "MMACs",
            role="cost",
            question="Fewest MACs",
            short=("macs",),
            caption="MACs: multiply-adds, one each, for one image, by the TinyDet paper's "
            "counter; rivals that publish FLOPs often mean twice this",
        ),
        cost_metric(
            "macs_fvcore", "MACs (fvcore)", "MMACs", checks=(CHECKS + "operators_passed_over",)
        ),
        cost_metric(
            "parameters",
            "parameters",
            "M",
            role="cost",
            question="Fewest parameters",
            short=("params",),
            protocol=("classes",),
            settings=(),
            claims=("classes",),
        ),
        cost_metric("activations", "activations", "M", checks=(CHECKS + "operators_passed_over",)),
    )
}

SCORE_MESSAGES = {
    "untrained": "the weights are random: the detector was not trained",
    "nothing_found": "there are no detections at all",
    "few_images": "images: only {images}",
    "few_boxes": "objects: only {boxes}",
    "few_object_images": "images with such objects: only {images}",
}
COST_MESSAGES = {
    "operators_passed_over": "the counter counts nothing for {operators}",
    "not_counted": "not counted: {mmacs:.3f} MMACs of {operator} outside conv and linear modules",
    "proposals_differ": "proposals counted: {proposals}; in the paper: {paper}",
    "not_traced": "fvcore could not trace the network: {reason}",
}
# The gravest first: other work and a wrong clock before what is merely imprecise.
LATENCY_MESSAGES = {
    "impossible_samples": "samples that are not positive: {bad} of {count}; the clock is wrong",
    "too_few_samples": "samples: only {count}, and not even the median has an interval",
    "busy_cpu": "other work used {cores:.1f} of {of} CPU cores",
    "busy_gpu": "other processes kept the GPU {percent:.0f} % busy ({moment})",
    "newcomers_on_gpu": "other processes that came to the GPU meanwhile: {count}",
    "throttled": "the GPU was throttled: {reason}",
    "changing_clock": "the GPU's clock went from {before} to {after} MHz meanwhile",
    "busy_children": "processes that this one started used {cores:.1f} CPU cores meanwhile",
    "drift": "the samples drift: the last third is {change:.0%} {way} than the first",
    "not_stationary": "not stationary after a warm-up of {runs} repetitions, {seconds:.1f} s: "
    "times were still getting {change:.0%} {way}",
    "reference_on_gpu": "on a GPU without compiled ops: the slow reference was timed",
    "untrained_time": "the weights are random, and what is found decides how long NMS takes",
    "far_tail": "p99 is {ratio:.1f} times p50: some runs took far longer than most",
    "count_unknown": "it is unknown how many samples it rests on",
    "few_samples": "samples: only {count}",
    "autocorrelated": "samples are autocorrelated: the effective sample size of {count} is "
    "about {effective:.0f}",
    "unbounded_percentile": "{count} samples do not bound it; that takes {needed} independent ones",
    "short_warm_up": "warm-up runs: only {runs}",
    "rough_percentiles": "samples: only {count}, so p90 and p99 are rough",
    "reference_ops": "without compiled ops: the reference was timed",
    "cpu_use_unknown": "unknown whether other work used the CPU",
    "gpu_use_unknown": "unknown whether other processes used the GPU",
    "gpu_unknown": "unknown whether other work used the GPU, and at what clocks (no NVML)",
}
ENERGY_MESSAGES = {**LATENCY_MESSAGES, "no_energy_counter": "no counter of it: {why}"}
