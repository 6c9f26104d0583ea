"""A Gaussian mixture fitted to the aggregate posterior: where trained latents really lie.

Beyond the paper, which draws latents from the prior. The posteriors of N images hold at most log N
nats on which image they are of. What the ELBO's KL has beyond that is how far their mixture, the
aggregate posterior, is from the prior (Hoffman and Johnson, "ELBO surgery", 2016): a decoder that
has seen a small share of the prior's mass draws fog elsewhere. After training the mixture is fitted
to the aggregate posterior instead.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

DRAWS = 4
"""Draws from each image's posterior that the mixture is fitted to."""

MOST_DIRECTIONS = 32
"""Principal directions of the posterior means that the mixture describes at most."""


def fit_latent_mixture(
    means: Tensor, logvars: Tensor, *, components: int, noise: torch.Generator
) -> dict[str, Tensor]:
    """Fit a mixture to the aggregate posterior.

    What images differ in lies in few directions of many latents. Along the principal directions of
    the posterior means, scikit-learn fits a mixture with full covariances to draws from the
    posteriors; across them each latent keeps a Gaussian of its own.

    Args:
        means: (N, Z) float32, posterior means; N at least 2.
        logvars: (N, Z) float32, logarithms of posterior variances.
        components: Gaussians in the mixture; fewer where there are few images.
        noise: Decides the posterior draws and where the fit begins.

    Returns:
        float32: `mean` (Z,) and `deviation` (Z,), of each latent across the directions;
        `directions` (P, Z), orthonormal; `shares` (M,), `centres` (M, P) and `spreads` (M, P, P),
        lower triangular, the mixture along them.
    """
    from sklearn.mixture import GaussianMixture

    means, logvars = means.cpu().double(), logvars.cpu().double()
    mean = means.mean(dim=0)
    count = max(1, min(MOST_DIRECTIONS, (len(means) - 1) // 4))
    _, _, directions = torch.linalg.svd(means - mean, full_matrices=False)
    directions = directions[:count]  # (P, Z)
    draws = torch.cat(
        [
            means - mean + (logvars / 2).exp() * torch.randn(means.shape, generator=noise).double()
            for _ in range(DRAWS)
        ]
    )
    along = draws @ directions.T  # (N * DRAWS, P)
    mixture = GaussianMixture(
        # Each full covariance needs more images than it has columns.
        n_components=max(1, min(components, len(means) // (2 * count))),
        covariance_type="full",
        reg_covar=1e-3,
        random_state=int(torch.randint(2**31, (1,), generator=noise)),
    ).fit(along.numpy())
    fitted = {
        "mean": mean,
        "deviation": (draws - along @ directions).std(dim=0),
        "directions": directions,
        "shares": torch.from_numpy(mixture.weights_),
        "centres": torch.from_numpy(mixture.means_),
        "spreads": torch.linalg.cholesky(torch.from_numpy(mixture.covariances_)),
    }
    return {name: tensor.float().contiguous() for name, tensor in fitted.items()}


def draw_latents(
    mixture: Mapping[str, Tensor], count: int, noise: torch.Generator, temperature: float
) -> Tensor:
    """Draw latents from a fitted mixture.

    Args:
        mixture: What `fit_latent_mixture` returned.
        count: How many.
        noise: Where all random numbers come from.
        temperature: What deviations from the means are multiplied by.

    Returns:
        (N, Z) float32.
    """
    directions, spreads = mixture["directions"], mixture["spreads"]
    across = mixture["deviation"] * torch.randn(count, directions.shape[1], generator=noise)
    across = across - across @ directions.T @ directions
    chosen = torch.multinomial(mixture["shares"], count, replacement=True, generator=noise)
    spread = spreads[chosen] @ torch.randn(count, len(directions), 1, generator=noise)
    along = mixture["centres"][chosen] + temperature * spread[:, :, 0]
    return mixture["mean"] + temperature * across + along @ directions
