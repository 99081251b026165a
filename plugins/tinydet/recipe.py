"""How TinyDet is trained (arXiv 2304.03428, section 4.1)."""

from typing import Any

from harness.plugin import Trainee

LARGE = 512  # pixels, the input of TinyDet-L


def published(trainee: Trainee) -> dict[str, Any]:
    """Target. The rates are for as many GPUs as the authors had, which is not published (8 is
    usual); nor is a rule for other numbers of images."""
    large = min(trainee.image_size) >= LARGE
    return {
        "epochs": 240,
        "batch_size": 8 if large else 32,
        "optimizer": {
            "name": "sgd",
            "lr": 0.18 if large else 0.35,
            "momentum": 0.9,
            "weight_decay": 1e-5,
        },
        "schedule": {
            "name": "cosine",
            "warmup_steps": 500,
            "warmup_factor": 1 / 3,
            "final_lr": 1e-5,
        },
        "clip_norm": 35.0,
        "augment": "paper",
        "sync_bn": True,
    }
