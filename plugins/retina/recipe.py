"""How RetinaNet is trained (arXiv 1708.02002, section 4.1)."""

from typing import Any

from harness.plugin import Trainee
from harness.plugin.lengths import epochs_on_coco

STEPS, BATCH = 90_000, 16  # on 8 GPUs with 2 images each


def published(trainee: Trainee) -> dict[str, Any]:
    """Target. 90,000 steps on COCO, as epochs of its images; the rate is for 16 images a step.

    The paper names neither a warm-up nor a rule for other numbers of images.
    """
    return {
        "epochs": epochs_on_coco(STEPS, BATCH),
        "batch_size": max(BATCH // trainee.batches, 1),
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
        "schedule": {
            "name": "multi_step",
            "milestones": [2 / 3, 8 / 9],
            "gamma": 0.1,
            "warmup_steps": 0,
        },
        "augment": "flip",
    }
