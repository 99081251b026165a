"""TinyRPN's proposals against their definition, level by level and box by box."""

import pytest
import torch
import torchvision
from torch import Tensor

from harness.model.features import FeatureSpec
from harness_plugins.tinydet.boxes import clip_boxes, decode_boxes
from harness_plugins.tinydet.rpn import RpnOutputs, TinyRpn, tiny_rpn

STRIDES, SIDE = (8, 16, 32), 128


def make_rpn(**params: int) -> TinyRpn:
    features = [FeatureSpec(f"p{stride}", 49, stride) for stride in STRIDES]
    return tiny_rpn(features, image_size=(SIDE, SIDE), **params).eval()


def random_outputs(seed: int, shared: bool = False) -> RpnOutputs:
    """Scores of a level differ; `shared` ones are those of coarser levels too."""
    generator = torch.Generator().manual_seed(seed)
    logits, deltas = [], []
    for stride in STRIDES:
        cells = SIDE // stride
        count = 2 * 3 * cells * cells
        order = torch.randperm(count, generator=generator)
        values = order / 384 - 2 if shared else (order + 1 / stride) / 384 - 2
        logits.append(values.view(2, 3, cells, cells).float())
        deltas.append(torch.randn((2, 12, cells, cells), generator=generator) * 0.2)
    return RpnOutputs(tuple(logits), tuple(deltas))


def propose_by_hand(rpn: TinyRpn, outputs: RpnOutputs, image: int) -> tuple[Tensor, Tensor]:
    p, boxes, scores = rpn.params, [], []
    for level, anchors in enumerate(rpn.anchors.split(rpn.level_sizes)):
        own = outputs.logits[level][image].permute(1, 2, 0).flatten().sigmoid()
        order = own.argsort(descending=True, stable=True)[: p.test_per_level]
        deltas = outputs.deltas[level][image].permute(1, 2, 0).reshape(-1, 4)
        found = clip_boxes(decode_boxes(deltas[order], anchors[order]), rpn.image_size)
        ranks = torch.arange(len(order), 0, -1).float()
        kept = torchvision.ops.nms(found, ranks, p.nms_iou)
        boxes.append(found[kept])
        scores.append(own[order][kept])
    best = torch.cat(scores).argsort(descending=True, stable=True)[: p.test_proposals]
    return torch.cat(boxes)[best], torch.cat(scores)[best]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("per_level", "total"), [(1000, 200), (1000, 20), (100, 2000), (30, 40)])
def test_equal_the_definition_box_by_box(per_level: int, total: int, shared: bool) -> None:
    """With equal scores on different levels those of the finer level come first."""
    rpn = make_rpn(test_per_level=per_level, test_proposals=total)
    for seed in range(3):
        outputs = random_outputs(seed, shared)
        proposals = rpn.propose(outputs)
        for image in range(2):
            boxes, scores = propose_by_hand(rpn, outputs, image)
            count = int(proposals.counts[image])
            assert count == len(boxes)
            # the last bit of exp and sigmoid depends on where in a tensor a number lies
            torch.testing.assert_close(proposals.boxes[image, :count], boxes)
            torch.testing.assert_close(proposals.scores[image, :count], scores)
            assert not proposals.boxes[image, count:].any()
            assert not proposals.scores[image, count:].any()


def test_channels_last_outputs_give_the_same() -> None:
    rpn, outputs = make_rpn(), random_outputs(0)
    moved = RpnOutputs(
        *(
            tuple(x.to(memory_format=torch.channels_last) for x in maps)
            for maps in (outputs.logits, outputs.deltas)
        ),
    )
    wanted, found = rpn.propose(outputs), rpn.propose(moved)
    assert torch.equal(found.boxes, wanted.boxes)
    assert torch.equal(found.scores, wanted.scores)


def test_compiles_whole() -> None:
    rpn, outputs = make_rpn(), random_outputs(0)
    wanted = rpn.propose(outputs)
    found = torch.compile(rpn.propose, backend="aot_eager", fullgraph=True)(outputs)
    assert torch.equal(found.boxes, wanted.boxes)
    assert torch.equal(found.counts, wanted.counts)
