"""Parts that are given maps they cannot take say so in one line."""

from collections.abc import Callable

import pytest

from harness.errors import UserError
from harness.model.features import FeatureSpec
from harness_plugins.tinydet.fpn import TinyFpn
from harness_plugins.tinydet.rpn import tiny_rpn


def pyramid(*strides: int, channels: int = 245) -> list[FeatureSpec]:
    return [FeatureSpec(f"p{s}", channels, s) for s in strides]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: TinyFpn([]), ["tiny_fpn", "no features"]),
        (lambda: TinyFpn(pyramid(8, 32)), ["tiny_fpn", "p8 245ch/8, p32 245ch/32", "twice"]),
        (lambda: TinyFpn(pyramid(8, 16), groups=[7]), ["1 levels", "p16 245ch/16", "finest first"]),
        (lambda: TinyFpn(pyramid(8), groups=[9]), ["245 channels in 9 groups"]),
        (
            lambda: tiny_rpn([*pyramid(8), *pyramid(16, channels=64)], image_size=(320, 320)),
            ["tiny_rpn", "p8 245ch/8, p16 64ch/16", "same number"],
        ),
        (
            lambda: tiny_rpn(pyramid(8, channels=64), image_size=(320, 320)),
            ["tiny_rpn", "64 channels in 49 groups"],
        ),
        (
            lambda: tiny_rpn(pyramid(32, 64), image_size=(320, 352)),
            ["tiny_rpn", "320x352", "multiples of 64: 320x320 or 320x384 would do"],
        ),
    ],
)
def test_parts_that_do_not_fit(build: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        build()
    line = str(error.value)
    assert "\n" not in line
    for word in words:
        assert word in line


def test_a_dense_neck_of_another_width() -> None:
    neck = TinyFpn(pyramid(4, 8, channels=32), channels=98)
    assert [str(f) for f in neck.out_features] == ["p2 98ch/4", "p3 98ch/8"]
    assert all(conv[1].groups == 1 for conv in neck.fpn_convs)
