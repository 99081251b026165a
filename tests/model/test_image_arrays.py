"""Arrays that a detector is given: taken as they lie where torch can."""

import numpy as np
import pytest
import torch

from harness.model.detector import as_image


def test_an_array_is_not_copied() -> None:
    array = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    for shown in (array, array[1:, 2:]):
        image = as_image(shown)
        assert np.shares_memory(image.numpy(), array)
        assert torch.equal(image, torch.tensor(shown.tolist()).permute(2, 0, 1))


@pytest.mark.filterwarnings("error")
def test_mirrored_and_read_only_arrays_are_images_too() -> None:
    array = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    fixed = array.copy()
    fixed.flags.writeable = False
    for shown in (array[:, ::-1], array[..., ::-1], fixed):
        expected = torch.tensor(shown.tolist()).permute(2, 0, 1)
        assert torch.equal(as_image(shown), expected)
