"""How good a model's images are, in numbers that mean the same for every model."""

from torch import Tensor

DIVERSITY = "quality/diversity"
RECONSTRUCTION = "quality/reconstruction_rmse"


def diversity(drawn: Tensor, real: Tensor) -> dict[str, float]:
    """Measure how much drawn images vary, as a share of how much real ones do.

    The standard deviation of a grey level over the images, averaged over the positions. 1 is as
    much as real ones, 0 one and the same image.

    Args:
        drawn: (N, 1, H, W) in [0, 1].
        real: Of the same shape and range.

    Returns:
        By its metric's name; empty where real images do not vary, as a single one.
    """
    if len(real) < 2 or not (spread := float(real.std(dim=0).mean())):
        return {}
    return {DIVERSITY: float(drawn.std(dim=0).mean()) / spread}


def reconstruction_rmse(squared_errors: Tensor, pixels: int) -> dict[str, float]:
    """Measure how far encoded images that are drawn again are from the originals.

    The root mean square error of a grey level in [0, 1], whatever the size of the images.

    Args:
        squared_errors: (N,), summed over an image's pixels and colours.
        pixels: How many pixels and colours that is.

    Returns:
        By its metric's name.
    """
    return {RECONSTRUCTION: float(squared_errors.double().mean() / pixels) ** 0.5}
