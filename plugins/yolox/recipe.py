"""How YOLOX-Nano and -Tiny are trained (arXiv 2107.08430 and its repository's experiments)."""

from typing import Any

from harness.plugin import Trainee

BATCH = 64  # images of a step that the learning rate is for


def published(trainee: Trainee) -> dict[str, Any]:
    """Target. The learning rate grows with the images of a step, as published; what is published
    in epochs of 300 is a share here, so that it holds for other lengths.

    Only Nano is depthwise, and has half as many mosaics. Not here: input sizes that change every 10
    steps.
    """
    nano = trainee.parts.get("dense_head", {}).get("depthwise", False)
    mosaic = {"probability": 0.5 if nano else 1.0, "degrees": 10, "translate": 0.1,
              "scale": [0.5, 1.5], "shear": 2}  # fmt: skip
    batch_size = trainee.batch_size or max(1, BATCH // trainee.batches)
    return {
        "epochs": 300,
        "batch_size": batch_size,
        "optimizer": {
            "name": "sgd",
            "lr": 0.01 * batch_size * trainee.batches / BATCH,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 5e-4,
            "no_decay": True,
        },
        "schedule": {
            "name": "cosine",
            "warmup": "quadratic",
            "warmup_steps": 5 / 300,
            "warmup_factor": 0.0,
            "after_warmup": True,
            "final_factor": 0.05,
            "final_steps": 15 / 300,
        },
        "clip_norm": None,
        "augment": [{"use": "mosaic", "params": mosaic}, {"use": "hsv"}, {"use": "flip"}],
        "close_augment": 15 / 300,
        "ema": {"decay": 0.9998, "ramp": 2000},
        "sync_bn": False,
    }
