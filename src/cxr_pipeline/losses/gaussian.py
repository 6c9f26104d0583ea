"""Densities of diagonal Gaussians and their divergence (the paper's section 3.1)."""

import math

from torch import Tensor

from cxr_pipeline.losses.precision import at_least_float32

LOG_2_PI = math.log(2 * math.pi)


def standard_normal_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """How far the encoder's q(z|x) = N(mean, exp(logvar)) is from the prior N(0, I).

        KL(q(z|x) || p(z)) = -1/2 sum_j (1 + log(sigma_j^2) - mu_j^2 - sigma_j^2)

    Args:
        mean: mu, (B, Z).
        logvar: log(sigma^2), (B, Z).

    Returns:
        (B,) in nats, at least 0 but for rounding; float32 (or float64, if the inputs are).
    """
    mean, logvar = at_least_float32(mean), at_least_float32(logvar)
    # sigma^2 - 1 as expm1: near the prior, exp's digits would be lost in the 1.
    return 0.5 * (mean.square() + (logvar.expm1() - logvar)).sum(dim=1)


def gaussian_log_density(latents: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """The log density of latents under their own Gaussians, such as log q(z|x).

        log N(z; mu, sigma^2) = -1/2 sum_j ((z_j - mu_j)^2 / sigma_j^2 + log(sigma_j^2) + log(2 pi))

    Args:
        latents: z, (B, Z).
        mean: mu, (B, Z).
        variance: sigma^2, (B, Z), above 0.

    Returns:
        (B,) in nats; float32 (or float64, if the inputs are).
    """
    latents, mean, variance = map(at_least_float32, (latents, mean, variance))
    squares = (latents - mean).square() / variance
    return -0.5 * (squares + variance.log() + LOG_2_PI).sum(dim=1)
