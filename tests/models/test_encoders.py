import pytest
import torch
from torch import nn
from torchvision.models import densenet121, vgg16
from torchvision.transforms import Normalize

from cxr_pipeline.models.encoders import FEATURES, ImageEncoder

IMAGE = torch.rand(1, 1, 224, 224, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=[("vgg16", False), ("densenet121", True)])
def encoder(request):
    name, normalise = request.param
    torch.manual_seed(0)
    return ImageEncoder(name, normalise=normalise).eval()


@torch.no_grad()
def test_features_are_what_torchvision_s_classifier_sees(encoder):
    with torch.device("meta"):
        network = {"vgg16": vgg16, "densenet121": densenet121}[encoder.name]()
    network.features, network.classifier = encoder.features, nn.Identity()
    images = IMAGE.repeat(1, 3, 1, 1)
    if encoder.name == "densenet121":
        images = Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(images)
    theirs = network.eval()(images)
    features = encoder(IMAGE)
    # DenseNet's classifier sees the mean of each map, VGG16's every number.
    seen = features.mean((2, 3)) if encoder.name == "densenet121" else features.flatten(1)
    torch.testing.assert_close(seen, theirs)
    assert features.shape == (1, FEATURES[encoder.name], 7, 7)
    assert features.min() == 0
    assert features.max() > 0


@pytest.mark.parametrize(("name", "count"), [("vgg16", 14_714_688), ("densenet121", 6_953_856)])
def test_only_the_features_parameters_are_there(name, count):
    with torch.device("meta"):
        encoder = ImageEncoder(name, normalise=True)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == count
    assert all(parameter.is_meta for parameter in encoder.parameters())
    assert all(key.startswith("features.") for key in encoder.state_dict())


def test_first_weights_are_torchvision_s():
    torch.manual_seed(0)
    encoder = ImageEncoder("vgg16", normalise=False)
    layer = encoder.features[17]  # 256 -> 512: a million numbers
    assert layer.weight.mean().item() == pytest.approx(0, abs=1e-4)
    assert layer.weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    layers = [layer for layer in encoder.features if isinstance(layer, nn.Conv2d)]
    assert len(layers) == 13
    assert all((layer.bias == 0).all() for layer in layers)


@pytest.mark.parametrize("name", FEATURES)
def test_first_weights_come_from_torch_s_generator(name):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(list(ImageEncoder(name, normalise=False).parameters()))
    first, again, other = states
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    # Those of more dimensions than one are drawn.
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True) if a.ndim > 1)


def test_an_unknown_encoder_is_refused():
    with pytest.raises(ValueError, match=r"^encoder='VGG19' is unknown: set it to vgg16 or dense"):
        ImageEncoder("VGG19", normalise=True)
