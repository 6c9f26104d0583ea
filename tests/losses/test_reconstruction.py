import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.distributions import Bernoulli

from cxr_pipeline.losses.reconstruction import binary_cross_entropy, squared_error


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_squared_error_equals_hand_values():
    drawn = torch.tensor([[1.0, 2.0], [0.0, 0.5]]).view(2, 1, 1, 2)
    images = torch.tensor([[0.0, 0.0], [0.0, 1.0]]).view(2, 1, 1, 2)
    torch.testing.assert_close(squared_error(drawn, images), torch.tensor([5.0, 0.25]))


def test_squared_error_sums_channels_and_pixels_of_each_image():
    drawn, images = draw(3, 2, 4, 5), draw(3, 2, 4, 5, seed=1)
    expected = torch.stack(
        [((a - b) ** 2).sum() for a, b in zip(drawn, images, strict=True)]  # an image at a time
    )
    torch.testing.assert_close(squared_error(drawn, images), expected)


def test_images_of_other_shapes_are_not_broadcast():
    with pytest.raises(AssertionError):
        squared_error(torch.zeros(2, 1, 4, 4), torch.zeros(2, 3, 4, 4))


def test_cross_entropy_equals_the_bernoulli_s():
    logits, images = 8 * draw(3, 2, 4, 5) - 4, draw(3, 2, 4, 5, seed=1).round()
    expected = -Bernoulli(logits=logits).log_prob(images).sum(dim=(1, 2, 3))
    torch.testing.assert_close(binary_cross_entropy(logits, images), expected)


@given(st.floats(0, 1), st.floats(-30, 30))
def test_a_grey_pixel_s_cross_entropy_is_least_at_its_own_level(grey, logit):
    image = torch.full((1, 1, 1, 1), grey, dtype=torch.float64)
    own = image.logit(eps=1e-12)
    other = torch.full_like(image, logit)
    least = binary_cross_entropy(own, image)
    assert least >= 0
    assert binary_cross_entropy(other, image) >= least - 1e-10  # eps=1e-12 times a logit of 28


def test_extreme_logits_stay_finite():
    logits = torch.tensor([1e4, -1e4]).view(2, 1, 1, 1).requires_grad_()
    loss = binary_cross_entropy(logits, torch.zeros(2, 1, 1, 1))
    torch.testing.assert_close(loss, torch.tensor([1e4, 0.0]))
    loss.sum().backward()
    torch.testing.assert_close(logits.grad.flatten(), torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("loss", [squared_error, binary_cross_entropy])
def test_half_precision_is_summed_in_float32(loss, dtype):
    drawn = torch.ones(2, 3, 224, 224, dtype=dtype)  # 150,528 pixels: past float16's 65,504
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sums = loss(drawn, torch.zeros_like(drawn))
    assert sums.dtype == torch.float32
    each = 1.0 if loss is squared_error else 1.3132616875
    torch.testing.assert_close(sums, torch.full((2,), each * 150_528))


def test_gradients_are_those_of_the_formulas():
    drawn, images = draw(2, 1, 3, 3).requires_grad_(), draw(2, 1, 3, 3, seed=1).requires_grad_()
    assert gradcheck(squared_error, (drawn, images))
    assert gradcheck(binary_cross_entropy, (drawn, images))
