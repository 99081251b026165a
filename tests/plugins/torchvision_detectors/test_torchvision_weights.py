"""Published weights: found in torch's cache, fitted to other classes, never silently absent."""

import os
import subprocess
import sys

import pytest
import torch
import torchvision.models.detection as zoo
from rivals import FASTER_RCNN, SSDLITE, build_detector
from torchvision.models import MobileNet_V3_Large_Weights, mobilenet_v3_large

from harness.errors import UserError
from harness.model.checkpoint import load_detector, read_checkpoint

PUBLISHED = {
    SSDLITE: zoo.SSDLite320_MobileNet_V3_Large_Weights.COCO_V1,
    FASTER_RCNN: zoo.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """torch's download cache, empty, and no way out."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def put_published(name, cache):
    """A file with the names and shapes of the published one, and random weights."""
    torch.manual_seed(1)
    model = getattr(zoo, name)(weights=None, weights_backbone=None, num_classes=91)
    torch.save(model.state_dict(), cache / PUBLISHED[name].url.rpartition("/")[2])
    return model


@pytest.mark.parametrize("name", [SSDLITE, FASTER_RCNN])
@pytest.mark.parametrize("which", ["pretrained", "pretrained_backbone"])
def test_unobtainable_weights_are_one_clear_line(name, which, cache):
    with pytest.raises(UserError) as caught:
        build_detector(name, **{which: True})
    assert "cannot be obtained" in str(caught.value)
    assert str(cache) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cached_file_that_would_run_code_is_refused(cache, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"x": Hostile()}, cache / PUBLISHED[SSDLITE].url.rpartition("/")[2])
    with pytest.raises(UserError, match="cannot be obtained"):
        build_detector(SSDLITE, pretrained=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [SSDLITE, FASTER_RCNN])
@pytest.mark.parametrize("num_classes", [80, 90, 3])
def test_published_weights_serve_any_classes(name, num_classes, cache):
    published = put_published(name, cache).eval()
    own = build_detector(name, num_classes, pretrained=True).eval()
    categories = PUBLISHED[name].meta["categories"]
    real = [i for i, category in enumerate(categories) if i == 0 or category != "N/A"]
    columns = {80: real, 90: list(range(91)), 3: None}[num_classes]
    pixels = torch.randn(1, 3, 320, 320, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs, ours = (raw_logits(m, pixels) for m in (published, own.model))
    assert ours.shape == (*theirs.shape[:-1], num_classes + 1)
    if columns is not None:
        torch.testing.assert_close(ours, theirs[..., columns], rtol=1e-4, atol=1e-5)
    losses_need = own.model.backbone.state_dict()
    assert torch.equal(
        next(iter(losses_need.values())), next(iter(published.backbone.state_dict().values()))
    )


def raw_logits(model, pixels):
    maps = model.backbone(pixels)
    if hasattr(model, "head"):
        return model.head(list(maps.values()))["cls_logits"]
    rois = [torch.tensor([[10.0, 10, 200, 200], [50, 60, 90, 300]])]
    heads = model.roi_heads
    pooled = heads.box_roi_pool(maps, rois, [(320, 320)])
    return heads.box_predictor(heads.box_head(pooled))[0]


def test_backbone_weights_come_from_the_classifier(cache):
    torch.manual_seed(2)
    classifier = mobilenet_v3_large()
    weights = MobileNet_V3_Large_Weights.IMAGENET1K_V1
    torch.save(classifier.state_dict(), cache / weights.url.rpartition("/")[2])
    for name in (SSDLITE, FASTER_RCNN):
        own = build_detector(name, pretrained_backbone=True).model.backbone.state_dict()
        stem = classifier.features[0][0].weight
        assert any(torch.equal(v, stem) for v in own.values() if v.shape == stem.shape)


@pytest.mark.parametrize("name", [SSDLITE, FASTER_RCNN])
def test_published_names_load_as_they_are(name, tmp_path):
    detector = build_detector(name, 90)
    published = getattr(zoo, name)(weights=None, weights_backbone=None).state_dict()
    assert detector.model.load_state_dict(published, strict=True)
    assert {f"model.{key}" for key in published} == set(detector.state_dict())
    torch.save(published, tmp_path / "published.pth")
    assert load_detector(detector, read_checkpoint(tmp_path / "published.pth")).complete


def test_parameter_counts_are_the_published_ones():
    for name, weights in PUBLISHED.items():
        detector = build_detector(name, 90)
        count = sum(p.numel() for p in detector.parameters())
        if name == FASTER_RCNN:  # whose published model has its batch norm frozen
            norms = [m for m in detector.modules() if isinstance(m, torch.nn.BatchNorm2d)]
            count -= sum(p.numel() for m in norms for p in m.parameters())
        assert count == weights.meta["num_params"]


def test_both_starts_at_once_are_refused():
    with pytest.raises(ValueError, match="leave 'pretrained_backbone' out"):
        build_detector(SSDLITE, pretrained=True, pretrained_backbone=True)


def test_declaring_imports_no_torch():
    code = (
        "import sys, harness_plugins.torchvision_detectors as p; p.harness_detectors();"
        "sys.exit(bool({'torch', 'torchvision'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
