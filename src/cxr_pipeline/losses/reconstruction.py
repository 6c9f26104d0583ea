"""How far decoded images are from the originals: -log p(x|z), the first term of the ELBO.

The paper's section 3.1; each up to a constant, and summed over an image so that it weighs against
the KL divergence as the ELBO has it.
"""

from torch import Tensor
from torch.nn import functional

from cxr_pipeline.losses.precision import at_least_float32


def squared_error(drawn: Tensor, images: Tensor) -> Tensor:
    """The squared error: -log p(x|z), up to a constant, of a Gaussian of variance 1/2.

        sum_i (x_i - xhat_i)^2

    Args:
        drawn: Decoded images xhat, (B, C, H, W).
        images: Originals x, of the same shape.

    Returns:
        (B,), at least 0, summed over channels and pixels; float32 (or float64, if the inputs are).
    """
    assert drawn.shape == images.shape, (drawn.shape, images.shape)  # would broadcast silently
    return (at_least_float32(drawn) - at_least_float32(images)).square().sum(dim=(1, 2, 3))


def binary_cross_entropy(logits: Tensor, images: Tensor) -> Tensor:
    """The binary cross-entropy: -log p(x|z) where each pixel is a Bernoulli's probability.

        -sum_i (x_i log(s(l_i)) + (1 - x_i) log(1 - s(l_i))), s the sigmoid

    Args:
        logits: Decoded images l before the sigmoid, (B, C, H, W).
        images: Originals x in [0, 1], of the same shape.

    Returns:
        (B,) in nats, at least 0 (and above it where pixels are grey), summed over channels and
        pixels; float32 (or float64, if the inputs are).
    """
    entropies = functional.binary_cross_entropy_with_logits(
        at_least_float32(logits), at_least_float32(images), reduction="none"
    )
    return entropies.sum(dim=(1, 2, 3))
