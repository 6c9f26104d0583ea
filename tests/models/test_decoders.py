import pytest
import torch
from torch import nn

from cxr_pipeline.models.decoders import DECODERS, build_decoder


def convolutions(decoder):
    return [layer for layer in decoder if isinstance(layer, nn.ConvTranspose2d)]


@pytest.mark.parametrize("name", DECODERS)
def test_latents_become_logits_of_three_colours(name):
    with torch.device("meta"):
        assert build_decoder(name, 7)(torch.empty(2, 7)).shape == (2, 3, 224, 224)


@pytest.mark.parametrize(("name", "weights", "biases"), [("1", 1920, 15), ("2", 172_800, 115)])
def test_transposed_convolutions_count_as_in_table_5(name, weights, biases):
    layers = convolutions(build_decoder(name, 1))
    assert sum(layer.weight.numel() for layer in layers) == weights
    assert sum(layer.bias.numel() for layer in layers) == biases


def test_decoder_1_is_table_2_s():
    decoder = build_decoder("1", 1014)
    kinds = [type(layer) for layer in decoder]
    block = [nn.ConvTranspose2d, nn.BatchNorm2d, nn.ELU]
    assert kinds == [nn.Linear, nn.ELU, nn.Unflatten, *block * 3, nn.ConvTranspose2d]
    assert (decoder[0].in_features, decoder[0].out_features) == (1014, 14 * 14 * 14)
    channels = [(layer.in_channels, layer.out_channels) for layer in convolutions(decoder)]
    assert channels == [(14, 6), (6, 3), (3, 3), (3, 3)]


def test_decoder_2_is_table_3_s():
    decoder = build_decoder("2", 10)
    assert (decoder[0].in_features, decoder[0].out_features) == (10, 128 * 14 * 14)
    channels = [(layer.in_channels, layer.out_channels) for layer in convolutions(decoder)]
    assert channels == [(128, 64), (64, 32), (32, 16), (16, 3)]
    norms = [layer.num_features for layer in decoder if isinstance(layer, nn.BatchNorm2d)]
    assert norms == [64, 32, 16]


def test_the_linear_decoder_is_the_authors():
    with torch.device("meta"):
        decoder = build_decoder("linear", 1014)
    layers = [layer for layer in decoder if isinstance(layer, nn.Linear)]
    widths = [1014, 2560, 2560, 2560, 2560, 784, 150_528]
    assert [layer.in_features for layer in layers] == widths[:-1]
    assert [layer.out_features for layer in layers] == widths[1:]
    kinds = [type(layer) for layer in decoder]
    assert kinds == [*[nn.Linear, nn.ELU] * 5, nn.Linear, nn.Unflatten]


@pytest.mark.parametrize("name", ["1", "2"])
def test_logits_can_be_dark_as_well_as_bright(name):
    torch.manual_seed(0)
    logits = build_decoder(name, 5)(torch.randn(2, 5))
    assert logits.isfinite().all()
    shares = (logits < 0).float().mean(dim=(0, 2, 3))  # of each colour
    assert (shares > 0.02).all()
    assert (shares < 0.98).all()


def test_an_unknown_decoder_is_refused():
    with pytest.raises(ValueError, match=r"^decoder='3' is unknown: set it to linear, 1, 2$"):
        build_decoder("3", 10)
