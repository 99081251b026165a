"""Whether what a detector finds in an image depends on the others of its batch."""

import torch

from harness.conformance.nonconforming import NonconformingError
from harness.data.batch import Inputs
from harness.model.detector import Detector


@torch.no_grad()
def check_images_stand_alone(detector: Detector, inputs: Inputs, pixels: float) -> None:
    """Raise NonconformingError unless each image alone gives the detections of the batch.

    The other checks use fresh weights, with which little is found; this one is for a detector
    whose weights find something.

    Args:
        inputs: prepared; something must be found in each image.
        pixels: by which corners may differ.
    """
    together, problems = detector(inputs), []
    for image in range(len(inputs.pixels)):
        one = Inputs(*(tensor[image : image + 1] for tensor in inputs.tensors()))
        alone, of = detector(one), f"of image {image}"
        if alone.counts[0] != together.counts[image] or not alone.counts[0]:
            told = f"{int(alone.counts[0])} alone, {int(together.counts[image])} in a batch"
            problems.append(f"the number of detections {of}: {told}")
        if not torch.equal(alone.labels[0], together.labels[image]):
            problems.append(f"the labels {of} depend on the others of its batch")
        for name, near in (("boxes", pixels), ("scores", 1e-5)):
            found, expected = getattr(alone, name)[0], getattr(together, name)[image]
            if not torch.allclose(found, expected, rtol=1e-4, atol=near):
                off = float((found - expected).abs().max())
                problems.append(f"the {name} {of} depend on the others of its batch, by {off:.3g}")
    if problems:
        raise NonconformingError(type(detector).__name__, tuple(problems))
