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
        (Z,) bool.
    """
    return means.var(dim=0) > ACTIVE_VARIANCE


def posterior_collapse(model: str, units: int, dim_z: int, kl: float) -> dict[str, str]:
    """Warn of a decoder that draws one picture whatever the latents say.

    Args:
        model: Whose parameters the remedy names.
        units: Latents that are active.
        dim_z: Latents in all.
        kl: Nats an image.

    Returns:
        The warning by its name, as `Diagnosis` takes it; empty if all is well.
    """
    if kl >= LEAST_KL and units > 0:
        return {}
    return {
        "posterior_collapse": (
            f"posterior collapse: {units} of {dim_z} latents are active, the KL is {kl:.2f} nats "
            f"an image, so that the decoder draws one picture; lower {model}.beta"
        )
    }
