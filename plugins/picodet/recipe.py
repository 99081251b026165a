"""How PicoDet-S is trained (arXiv 2111.00902 and its configurations in PaddleDetection)."""

from typing import Any

from harness.plugin import Trainee

GPUS = 4  # that the rate is for
LR = 0.4


def published(trainee: Trainee) -> dict[str, Any]:
    """Target. The rate grows with the images of a step, as PaddleDetection's notes have it.

    Left out, as not expressible: the crop by IoU (there is one only with an expansion, which is not
    published), input sizes that change with each batch, ImageNet weights of the backbone, an
    average that restarts every 40 epochs, and batch norms of the head without weight decay. The
    average's decay rises by timm's rule, the nearest to the published one.
    """
    images = GPUS * (128 if max(trainee.image_size) <= 320 else 80)
    batch_size = trainee.batch_size or max(images // trainee.batches, 1)
    colours = {"shift": 1, "contrast": [0.5, 1.5], "saturation": [0.5, 1.5], "hue": 18}
    return {
        "epochs": 300,
        "batch_size": batch_size,
        "optimizer": {
            "name": "sgd",
            "lr": LR * batch_size * trainee.batches / images,
            "momentum": 0.9,
            "weight_decay": 4e-5,
        },
        "schedule": {
            "name": "cosine",
            "warmup_steps": 300,
            "warmup_factor": 0.1,
            "final_lr": 0.0,
        },
        "clip_norm": None,
        "augment": [{"use": "flip"}, {"use": "photometric", "params": colours}],
        "ema_decay": 0.9998,
        "sync_bn": False,
    }
