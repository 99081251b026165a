"""What holds of every detector, for the tests of each family."""

import torch

from harness.data.batch import Inputs
from harness.model.detector import Detector


def pick(inputs: Inputs, image: int) -> Inputs:
    """One image of a batch."""
    names = Inputs.__dataclass_fields__
    return Inputs(*(getattr(inputs, name)[image : image + 1] for name in names))


@torch.no_grad()
def check_images_stand_alone(detector: Detector, inputs: Inputs, pixels: float) -> None:
    """What is found in an image does not depend on the others of its batch.

    Args:
        inputs: prepared; something must be found in each image.
        pixels: by which corners may differ.
    """
    together = detector(inputs)
    for image in range(len(inputs.pixels)):
        alone = detector(pick(inputs, image))
        assert alone.counts[0] == together.counts[image]
        assert alone.counts[0] > 0
        assert torch.equal(alone.labels[0], together.labels[image])
        for name, near in (("boxes", pixels), ("scores", 1e-5)):
            found, expected = getattr(alone, name)[0], getattr(together, name)[image]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=near)
