import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cxr_pipeline.models.halving import Doubling, Halving, Opening

TORCH_S_OWN = {Halving: nn.Conv2d, Doubling: nn.ConvTranspose2d, Opening: nn.ConvTranspose2d}


def results(forward, layer, images, gradient=None):
    """What a layer draws, and the gradients of its images and weights."""
    drawn = forward(layer, images)
    if gradient is None:
        gradient = torch.randn(drawn.shape, dtype=drawn.dtype)
    return gradient, (drawn, *torch.autograd.grad(drawn, [images, layer.weight], gradient))


def assert_as_torch_s_own(layer, images):
    images.requires_grad_()
    gradient, ours = results(type(layer).forward, layer, images)
    _, theirs = results(TORCH_S_OWN[type(layer)].forward, layer, images, gradient)
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == their.dtype
        torch.testing.assert_close(
            our, their, rtol=0, atol=1e-12 * their.detach().abs().max().item()
        )


@given(
    kind=st.sampled_from([Halving, Doubling]),
    images=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    # Halved, they lie on all sides of the numbers of positions that decide the way.
    sides=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    channels_last=st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_values_and_gradients_are_those_of_torch_s_layers(
    kind, images, channels, sides, channels_last
):
    layer = kind(*channels).double()
    height, width = (2 * side if kind is Halving else side for side in sides)
    drawn = torch.randn(images, channels[0], height, width, dtype=torch.double)
    if channels_last:
        layer.to(memory_format=torch.channels_last)
        drawn = drawn.contiguous(memory_format=torch.channels_last)
    assert_as_torch_s_own(layer, drawn)


@pytest.mark.parametrize("channels_last", [False, True])
def test_pixels_open_as_in_torch_s_layer(channels_last):
    layer = Opening(7, 5).double()
    if channels_last:
        layer.to(memory_format=torch.channels_last)
    assert_as_torch_s_own(layer, torch.randn(3, 7, 1, 1, dtype=torch.double))


@pytest.mark.parametrize(
    ("layer", "side"), [(Halving(3, 4), 8), (Halving(1, 4), 32), (Doubling(4, 1), 3)]
)
def test_frozen_weights_pass_gradients_on_and_get_none(layer, side):
    layer.requires_grad_(False)
    images = torch.randn(2, layer.in_channels, side, side, requires_grad=True)
    layer(images).sum().backward()
    assert images.grad is not None
    assert layer.weight.grad is None


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Halving(1, 8), (2, 1, 32, 32)),
        (Halving(8, 16), (2, 8, 8, 8)),
        (Doubling(8, 1), (2, 8, 16, 16)),
        (Opening(8, 16), (2, 8, 1, 1)),
    ],
)
def test_autocast_computes_in_its_numbers_and_learns_in_the_weights_own(layer, shape):
    images = torch.randn(shape)
    exact = layer(images)
    with torch.autocast("cpu", torch.bfloat16):
        drawn = layer(images)
    assert drawn.dtype == torch.bfloat16
    assert torch.allclose(drawn.float(), exact, atol=0.02 * exact.abs().max().item())
    drawn.float().square().sum().backward()
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize(("layer", "side"), [(Halving(4, 8), 8), (Doubling(8, 4), 8)])
def test_weights_learn_in_the_layout_they_have(layer, side):
    layer.to(memory_format=torch.channels_last)
    layer(torch.randn(2, layer.in_channels, side, side)).sum().backward()
    assert layer.weight.grad.stride() == layer.weight.stride()


@pytest.mark.parametrize(
    ("layer", "shape", "drawn"),
    [
        (Halving(4, 8), (2, 4, 8, 8), (2, 8, 4, 4)),
        (Doubling(8, 1), (2, 8, 8, 8), (2, 1, 16, 16)),
        (Opening(8, 4), (2, 8, 1, 1), (2, 4, 4, 4)),
    ],
)
def test_other_devices_take_torch_s_own(layer, shape, drawn):
    assert layer.to("meta")(torch.zeros(shape, device="meta")).shape == drawn
