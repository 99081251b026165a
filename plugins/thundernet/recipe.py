"""How ThunderNet is trained (arXiv 1903.11752, section 4.1)."""

from typing import Any

from harness.plugin import Trainee
from harness.plugin.lengths import epochs_on_coco

STEPS, BATCH = 375_000, 64  # on 4 GPUs with 16 images each


def published(trainee: Trainee) -> dict[str, Any]:
    """Target. 375,000 steps on COCO, as epochs of its images; the rate is for 64 images a step.

    The authors' program (https://github.com/qinzheng93/ThunderNet) has the same rate, momentum,
    decay, images of a step and drops; the number of steps is the paper's alone.

    Left out, as not expressible or not certain: training at several input sizes (a detector here
    has one), a warm-up, which only the program has, and a rule for other numbers of images.
    The paper names SSD's augmentation, which is `paper` here.
    """
    return {
        "epochs": epochs_on_coco(STEPS, BATCH),
        "batch_size": max(BATCH // trainee.batches, 1),
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
        "schedule": {
            "name": "multi_step",
            "milestones": [0.5, 0.75],
            "gamma": 0.1,
            "warmup_steps": 0,
        },
        "augment": "paper",
        "sync_bn": True,
    }
