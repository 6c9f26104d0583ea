"""How much detail of each fineness images have, against real ones, in decibels.

A blur takes the fine detail away, noise adds to it, and an upsampling network may leave a pattern.
"""

import numpy as np
import numpy.typing as npt
import torch

from cxr_pipeline.evaluation.fidelity.estimate import Weights, above_zero
from cxr_pipeline.evaluation.resampling import Estimate

BLOCK = 64
"""Images at a time."""


def spectrum_estimate(
    reference: npt.NDArray[np.uint8],
    pixels: npt.NDArray[np.uint8],
    reference_weights: Weights,
    weights: Weights,
) -> Estimate:
    """Measure the root mean square difference of mean log radial power spectra, in dB.

    Args:
        reference: (N, S, S) uint8, real images.
        pixels: (M, S, S) uint8, the set.
        reference_weights: (R, N), how often each is in each bootstrap sample.
        weights: (R, M), likewise.
    """
    real, made = log_spectra(reference), log_spectra(pixels)
    value = _root_mean_square(real.mean(axis=0) - made.mean(axis=0))
    draws = _root_mean_square(_means(real, reference_weights) - _means(made, weights))
    return above_zero(float(value), draws)


def log_spectra(pixels: npt.NDArray[np.uint8], block: int = BLOCK) -> npt.NDArray[np.float64]:
    """Compute each image's power at each spatial frequency, averaged over directions.

    Under a Hann window, since an image's left and right edge are no neighbours. Grey levels are
    whole numbers, which by itself is noise: where there is less power than that, it is not told
    from none.

    Args:
        pixels: (N, S, S) uint8.
        block: Images that are in memory at once.

    Returns:
        (N, S // 2), in dB, from one to S // 2 periods over the image's width.
    """
    size = pixels.shape[1]
    hann = torch.hann_window(size, periodic=False, dtype=torch.float64)
    window = hann[:, None] * hann
    rounding = float(window.square().sum()) / 12
    frequencies = np.fft.fftfreq(size) * size
    periods = np.rint(np.hypot(frequencies[:, None], frequencies)).astype(np.int64).ravel()
    rings = torch.from_numpy(periods)
    kept = slice(1, size // 2 + 1)
    frequencies_a_ring = torch.bincount(rings)
    spectra = np.empty((len(pixels), size // 2))
    for start in range(0, len(pixels), block):
        rows = slice(start, start + block)
        images = torch.from_numpy(pixels[rows].astype(np.float64))
        images = images - (images * window).sum(dim=(1, 2), keepdim=True) / window.sum()
        power = torch.fft.fft2(images * window).abs().square().flatten(1)
        sums = power.new_zeros(len(power), len(frequencies_a_ring)).index_add_(1, rings, power)
        radial = (sums / frequencies_a_ring)[:, kept]
        spectra[rows] = 10 * torch.log10(radial + rounding).numpy()
    return spectra


def _means(spectra: npt.NDArray[np.float64], weights: Weights) -> npt.NDArray[np.float64]:
    """The mean spectrum in each bootstrap sample, (R, S // 2)."""
    return np.asarray(weights @ spectra / weights.sum(axis=1, keepdims=True))


def _root_mean_square(differences: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.sqrt(np.square(differences).mean(axis=-1)))
