"""Whether a model's latents carry anything of its images."""

from torch import Tensor

ACTIVE_VARIANCE = 0.01
"""A latent is active if its posterior mean varies by more than this over images (Burda et al.,
arXiv:1509.00519, section 5.2)."""

LEAST_KL = 1.0
"""Nats an image; below it the decoder hardly looks at the latents."""


def active_units(means: Tensor) -> Tensor:
    """Tell which latents carry anything of an image.

    Args:
        means: (N, Z), the posterior means of images.

    Returns:
        (Z,) bool; those of a single image do not vary.
    """
    return means.var(dim=0, correction=0) > ACTIVE_VARIANCE


def posterior_collapse(model: str, means: Tensor, kl: float) -> dict[str, str]:
    """Warn of a decoder that draws one picture whatever the latents say.

    Args:
        model: Whose parameters the remedy names.
        means: (N, Z), the posterior means of images.
        kl: Nats an image.

    Returns:
        The warning by its name, as `Diagnosis` takes it; empty if all is well.
    """
    units = int(active_units(means).sum())
    if kl >= LEAST_KL and (units > 0 or len(means) == 1):
        return {}
    return {
        "posterior_collapse": (
            f"posterior collapse: {units} of {means.shape[1]} latents are active, the KL is "
            f"{kl:.2f} nats an image, so that the decoder draws one picture; lower {model}.beta"
        )
    }
