"""How far the grey patterns of small patches are from real ones, at every fineness.

Karras et al. 2018, section 5: patches of 7 x 7 pixels from each level of a Laplacian pyramid,
projected on random directions, on each of which the Wasserstein distance is that of sorted numbers.
Unlike there, both sets are scaled by the spread of the real ones alone: scaled each by its own, a
blurred set would hide that its finest level has faded.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from cxr_pipeline.evaluation.fidelity.estimate import Weights, above_zero
from cxr_pipeline.evaluation.fidelity.progress_lines import progress_lines
from cxr_pipeline.evaluation.measured import CannotMeasureError
from cxr_pipeline.evaluation.resampling import Estimate
from cxr_pipeline.randomness import derive_seed

SIDE = 7
"""Of a patch, in pixels."""
COARSEST = 16
"""Side of the smallest level, at least, in pixels."""
PATCHES = 32
"""Of each image on each level."""
DIRECTIONS = 128
EDGES = 129
"""Where distributions are compared for an interval: at quantiles of both sets together."""


def wasserstein_estimate(
    reference: npt.NDArray[np.uint8],
    pixels: npt.NDArray[np.uint8],
    reference_weights: Weights,
    weights: Weights,
    *,
    seed: int,
) -> Estimate:
    """Measure the distance, averaged over directions and levels, in real standard deviations.

    Args:
        reference: (N, S, S) uint8, real images.
        pixels: (N, S, S) uint8, the set.
        reference_weights: (R, N), how often each is in each bootstrap sample.
        weights: (R, N), likewise.
        seed: Decides patches and directions.

    Raises:
        CannotMeasureError: Images smaller than a patch.
    """
    assert reference.shape == pixels.shape
    rng = np.random.default_rng(derive_seed(seed, "directions"))
    shares, real_shares = (
        (drawn / (PATCHES * drawn.sum(axis=1, keepdims=True))).astype(np.float32)
        for drawn in (weights, reference_weights)
    )
    values, draws = [], []
    levels = levels_of(reference.shape[1])
    pyramids = zip(patches(reference, seed), patches(pixels, seed), strict=True)
    report = progress_lines("Sliced Wasserstein distance's directions", levels * DIRECTIONS)
    for real, made in pyramids:
        spread = float(real.std(dtype=np.float64)) or 1.0
        directions = rng.standard_normal((SIDE * SIDE, DIRECTIONS))
        directions /= np.linalg.norm(directions, axis=0) * spread
        for direction in directions.T.astype(np.float32):
            one, other = real @ direction, made @ direction  # (N, PATCHES)
            values.append(distance(one, other))
            draws.append(distances_of_draws(one, other, real_shares, shares))
            report(len(draws))
    return above_zero(float(np.mean(values)), np.mean(draws, axis=0, dtype=np.float64))


def patches(pixels: npt.NDArray[np.uint8], seed: int) -> Iterator[npt.NDArray[np.float32]]:
    """Cut random patches from each level of each image's Laplacian pyramid.

    Args:
        pixels: (N, S, S) uint8.
        seed: Decides where; the n-th images of two sets are cut at the same places.

    Yields:
        (N, PATCHES, SIDE^2), grey levels less those of the next level, from fine to coarse; of the
        coarsest, grey levels.

    Raises:
        CannotMeasureError: Images smaller than a patch.
    """
    levels = levels_of(pixels.shape[1])
    for level in range(levels):
        rng = np.random.default_rng(derive_seed(seed, "patches", level))
        places = rng.random((len(pixels), PATCHES, 2))
        found = np.empty((len(pixels), PATCHES, SIDE * SIDE), dtype=np.float32)
        for image, where, out in zip(pixels, places, found, strict=True):
            band = _band(image, level, last=level == levels - 1)
            windows = np.lib.stride_tricks.sliding_window_view(band, (SIDE, SIDE))
            rows, columns = (where.T * len(windows)).astype(np.int64)
            out[:] = windows[rows, columns].reshape(PATCHES, -1)
        yield found


def levels_of(size: int) -> int:
    """Count the levels that images of a side have.

    Raises:
        CannotMeasureError: Images smaller than a patch.
    """
    if size < SIDE:
        raise CannotMeasureError(
            f"images of {size} px, and patches of {SIDE} px are compared: enlarge them"
        )
    levels = 1
    while (size := (size + 1) // 2) >= COARSEST:
        levels += 1
    return levels


def distance(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Compute the Wasserstein-1 distance between as many numbers, of any shape."""
    gaps = np.sort(one, axis=None) - np.sort(other, axis=None)
    return float(np.abs(gaps).mean(dtype=np.float64))


def distances_of_draws(
    one: npt.NDArray[np.float32],
    other: npt.NDArray[np.float32],
    shares: npt.NDArray[np.float32],
    other_shares: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """Compute the Wasserstein-1 distance in each bootstrap sample, as the area between two curves.

    The curves, of what share of the numbers is below, are compared at `EDGES` places.

    Args:
        one: (N, P), numbers of each image.
        other: (N, P), of the other set's.
        shares: (R, N), an image's share in a draw, over P.
        other_shares: (R, N), likewise.

    Returns:
        (R,).
    """
    pooled = np.sort(np.concatenate([one, other]), axis=None)
    edges = pooled[np.linspace(0, len(pooled) - 1, EDGES).astype(np.int64)]
    gaps = np.abs(shares @ _below(one, edges) - other_shares @ _below(other, edges))
    return np.asarray(np.trapezoid(gaps, edges, axis=1), dtype=np.float64)


def _band(image: npt.NDArray[np.uint8], level: int, *, last: bool) -> npt.NDArray[np.float32]:
    """One level of an image's Laplacian pyramid."""
    blurred = image.astype(np.float32)
    for _ in range(level):
        blurred = np.asarray(cv2.pyrDown(blurred), dtype=np.float32)
    if last:
        return blurred
    coarser = cv2.pyrUp(cv2.pyrDown(blurred), dstsize=blurred.shape[::-1])
    return np.asarray(blurred - coarser, dtype=np.float32)


def _below(
    values: npt.NDArray[np.float32], edges: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """How many of each image's numbers are at most each edge, (N, EDGES)."""
    images = np.arange(len(values))[:, None]
    first = np.searchsorted(edges, values) + images * EDGES  # the first edge that is not below
    counts = np.bincount(first.ravel(), minlength=len(values) * EDGES)
    return counts.reshape(len(values), EDGES).cumsum(axis=1).astype(np.float32)
