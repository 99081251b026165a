"""What is wrong with necks, RoI ops and heads is named, too."""

from pathlib import Path

import pytest
from faulty_heads import SOURCE

from harness.plugin.manager import load_plugins
from harness.plugin.testing import (
    NonconformingError,
    check_box_head,
    check_neck,
    check_roi_op,
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory):
    path: Path = tmp_path_factory.mktemp("faulty") / "faulty_three.py"
    path.write_text(SOURCE.format(name="faulty_three"))
    return load_plugins([str(path)])


def problems(check, registry, kind: str) -> tuple[str, ...]:
    with pytest.raises(NonconformingError) as caught:
        check(registry.get(kind, "faulty_three").declaration)
    return caught.value.problems


def test_a_neck(registry):
    first, second = problems(check_neck, registry, "neck")
    assert first == "no gradient reaches its inputs, so nothing before it learns"
    assert second == "c3 differs after a checkpoint round trip"


def test_a_roi_op_whose_fake_kernel_says_another_shape(registry):
    found = problems(check_roi_op, registry, "roi_op")
    op = "its op faulty_three.pool.default fails"
    assert any(p.startswith(f"{op} test_faketensor") for p in found), found
    assert any("no autograd formula was registered" in p for p in found), found


def test_a_box_head(registry):
    found = problems(check_box_head, registry, "box_head")
    assert "no gradient reaches: deltas.weight, deltas.bias" in found
    assert "the loss loss_cls of an image without boxes is inf" in found
    assert "detections.labels are not all from 0 to 2, the classes there are" in found
    assert "detections are not sorted by descending score" in found
