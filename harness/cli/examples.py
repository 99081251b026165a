"""What stands under "Examples" in the help of each command."""

from collections.abc import Mapping, Sequence

EXAMPLES: Mapping[str, Sequence[str]] = {
    "run": (
        "harness run suites/tinydet.yaml",
        "harness run suites/tinydet.yaml --profile small --data ROOT --seeds 0,1,2",
        "harness run suites/tinydet.yaml --only tinydet_s --stages latency --modes all --resume",
    ),
    "plan": (
        "harness plan suites/tinydet.yaml --cost",
        "harness plan suites/tinydet.yaml --set 'detectors.*.train.steps=1000'",
    ),
    "watch": ("harness watch results/tinydet/RUN",),
    "cell": ("harness cell results/tinydet/RUN tinydet_s/seed0/latency/compiled",),
    "runs": ("harness runs", "harness runs results/tinydet --tag paper"),
    "note": (
        "harness note results/tinydet/RUN 'wider neck, first try' --tag neck",
        "harness note results/tinydet/RUN --untag neck",
    ),
    "report": ("harness report results/tinydet/RUN --data ROOT",),
    "compare": (
        "harness compare results/tinydet/A results/tinydet/B --gate 'ap_small >= -0.5'",
        "harness compare results/tinydet/RUN:tinydet_s predictions.json --html page.html",
    ),
    "choose": (
        "harness choose results/tinydet/RUN --at-most latency=25ms --at-least ap_small=10",
        "harness choose results/tinydet/RUN --at-most model_size=5 --mode onnxruntime-int8",
    ),
    "history": ("harness history results/tinydet --metric ap_small",),
    "export": ("harness export results/tinydet --to all.parquet",),
    "export-model": (
        "harness export-model suites/tinydet.yaml tinydet_s --checkpoint checkpoint.pt"
        " --to onnxruntime --out model",
    ),
    "score": ("harness score a.json b.json --annotations ROOT/annotations/instances_val.json",),
    "ablate": (
        "harness ablate suites/tinydet.yaml --base tinydet_s --vary neck=tiny_fpn,top_down",
    ),
    "data": ("harness data ROOT --suite suites/tinydet.yaml",),
    "doctor": ("harness doctor", "harness doctor --data ROOT --thorough"),
    "predict": ("harness predict photos --checkpoint checkpoint.pt --out drawn --threshold 0.5",),
    "list": ("harness list backbone",),
    "describe": ("harness describe tiny_fpn", "harness describe ap_small"),
    "new": ("harness new backbone wide_net --to ..",),
    "check-plugin": ("harness check-plugin -p my_neck.py --set my_neck.width=96",),
}


def epilog(command: str) -> str:
    r"""The examples as click prints them: a paragraph whose lines stay as they are (\b)."""
    lines = EXAMPLES[command]
    return "\n".join(
        ["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)]
    )
