"""The context enhancement module: one map that has seen the whole image.

Paper: https://arxiv.org/abs/1903.11752, section 3.2. Biases, upsampling to the nearest cell and
initial weights are those of the authors' program (https://github.com/qinzheng93/ThunderNet).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from harness.model.features import FeatureSpec, find_strides

STRIDES = (16, 32)


class ThunderCem(nn.Module):
    """The sum of 1x1 convolutions of C4, of C5, upsampled, and of C5's mean over all cells.

    Args:
        in_features: the backbone's maps, of which those of stride 16 and 32 are used.
        channels: of the result.

    Raises:
        UserError: one of these strides is missing.
    """

    def __init__(self, in_features: Sequence[FeatureSpec], channels: int = 245) -> None:
        super().__init__()
        self.positions = find_strides("thunder_cem", in_features, STRIDES)
        c4, c5 = (in_features[position].channels for position in self.positions)
        self.C4 = nn.Conv2d(c4, channels, 1)
        self.C5 = nn.Conv2d(c5, channels, 1)
        self.Cglb = nn.Conv2d(c5, channels, 1)
        self.out_features = (FeatureSpec("p4", channels, STRIDES[0]),)
        for conv in (self.C4, self.C5, self.Cglb):
            nn.init.xavier_uniform_(conv.weight)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        c4, c5 = (features[position] for position in self.positions)
        fine, coarse = self.C4(c4), self.C5(c5)
        # under autocast nearest upsampling gives float32: no more precise, and twice as large
        upsampled = F.interpolate(coarse, fine.shape[-2:], mode="nearest").to(coarse.dtype)
        return [fine + upsampled + self.Cglb(c5.mean((2, 3), keepdim=True))]
