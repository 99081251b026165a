"""How NanoDet-Plus-m is trained (https://github.com/RangiLyu/nanodet, its configurations)."""

from typing import Any

from harness.plugin import Trainee


def published(trainee: Trainee) -> dict[str, Any]:
    """Target. 96 images a step on one GPU; no rule for other numbers is published.

    The cosine falls with each step here, there with each epoch.
    """
    affine = {"scale": [0.6, 1.4], "stretch": [0.8, 1.2], "translate": 0.2, "fill": 0}
    colours = {"shift": 51, "contrast": [0.6, 1.4], "saturation": [0.5, 1.2], "hue": 0}
    return {
        "epochs": 300,
        "batch_size": 96,
        "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.05},
        "schedule": {
            "name": "cosine",
            "warmup_steps": 500,
            "warmup_factor": 1e-4,
            "final_lr": 5e-5,
        },
        "clip_norm": 35.0,
        "augment": [
            {"use": "random_affine", "params": affine},
            {"use": "flip"},
            {"use": "photometric", "params": colours},
        ],
        "ema": {"decay": 0.9998, "ramp": 2000},
    }
