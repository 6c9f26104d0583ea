"""The least-squares GAN losses (the paper's section 3.2; Mao et al., arXiv:1611.04076)."""

from torch import Tensor

from cxr_pipeline.losses.precision import at_least_float32


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """What the discriminator minimises: real images should score 1, drawn ones 0.

        1/2 E_x [(D(x) - 1)^2] + 1/2 E_z [D(G(z))^2]

    Args:
        real_scores: D(x), any shape.
        fake_scores: D(G(z)), any shape.

    Returns:
        A scalar, at least 0, in float32 (or float64, if the scores are).
    """
    real, fake = at_least_float32(real_scores), at_least_float32(fake_scores)
    return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()


def generator_loss(fake_scores: Tensor) -> Tensor:
    """What the generator minimises: its images should score 1.

        1/2 E_z [(D(G(z)) - 1)^2]

    Args:
        fake_scores: D(G(z)), any shape.

    Returns:
        A scalar, at least 0, in float32 (or float64, if the scores are).
    """
    return 0.5 * (at_least_float32(fake_scores) - 1).square().mean()
