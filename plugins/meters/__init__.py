"""First-party meters: what the evaluate, cost and latency stages measure."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from harness.plugin.declarations import Meter, NoParams, Params
from harness.plugin.hookspecs import hookimpl
from harness_plugins.meters.metrics import (
    COST_MESSAGES,
    COSTS,
    ENERGY_MESSAGES,
    LATENCY_MESSAGES,
    PROFILED,
    SCORE_MESSAGES,
    coco_metrics,
    deployment_metrics,
    energy_metrics,
    latency_metrics,
)


class CocoApParams(Params):
    """`max_detections` other than COCO's 100 renames `ar_100` accordingly."""

    backend: Literal["faster_coco_eval", "pycocotools"] = "faster_coco_eval"
    per_class: bool = True
    max_detections: Annotated[int, Field(gt=10)] = 100


@hookimpl
def harness_meters() -> Sequence[Meter]:
    return [
        Meter(
            name="coco_ap",
            target="harness_plugins.meters.coco_ap:CocoAp",
            params=CocoApParams,
            summary="COCO's AP and AR over IoU 0.50:0.95, by size and by class",
            stage="evaluate",
            metrics=lambda params: coco_metrics(params.max_detections),
            messages=SCORE_MESSAGES,
        ),
        _cost("macs_paper", "macs_paper:MacsPaper", "multiply-adds as the TinyDet paper counts"),
        _cost("macs_fvcore", "fvcore_counts:MacsFvcore", "multiply-adds by fvcore's rules"),
        _cost("parameters", "parameters:Parameters", "parameters, by role"),
        _cost("activations", "fvcore_counts:Activations", "activations by fvcore's rules"),
        Meter(
            name="latency",
            target="harness_plugins.meters.latency:LatencyMeter",
            params=NoParams,
            summary="time of network, network + postprocess, and end to end; throughput; memory",
            stage="latency",
            metrics=latency_metrics(),
            messages=LATENCY_MESSAGES,
        ),
        Meter(
            name="deployment",
            target="harness_plugins.meters.deployment:Deployment",
            params=NoParams,
            summary="size of the model, time to load it, time of the first inference, by mode",
            stage="latency",
            metrics=deployment_metrics(),
        ),
        Meter(
            name="energy",
            target="harness_plugins.meters.energy:Energy",
            params=NoParams,
            summary="energy per image, by the counters of the processor (RAPL) and the GPU (NVML)",
            stage="latency",
            metrics=energy_metrics(),
            messages=ENERGY_MESSAGES,
        ),
        Meter(
            name="profiled",
            target="harness_plugins.meters.profiled:Profiled",
            params=NoParams,
            summary="time inside the graphs of ONNX Runtime and OpenVINO, by role",
            stage="latency",
            metrics=(PROFILED,),
        ),
    ]


def _cost(name: str, target: str, summary: str) -> Meter:
    target = f"harness_plugins.meters.{target}"
    return Meter(
        name, target, NoParams, summary, stage="cost", metrics=(COSTS[name],),
        messages=COST_MESSAGES,
    )  # fmt: skip
