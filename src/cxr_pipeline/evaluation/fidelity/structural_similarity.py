"""How alike a set's images are among themselves: MS-SSIM of random pairs (Odena et al. 2017, 4.2).

Higher is less varied. Of a collapsed generator it is near 1; that of real images says what is
usual, since all chests look alike.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from cxr_pipeline.evaluation.fidelity.estimate import Weights
from cxr_pipeline.evaluation.fidelity.progress_lines import progress_lines
from cxr_pipeline.evaluation.measured import CannotMeasureError
from cxr_pipeline.evaluation.resampling import Estimate, interval
from cxr_pipeline.randomness import derive_seed

ROUNDS = 2
"""In how many rounds each image is paired with two others."""
BATCH = 32
"""Pairs at a time."""
BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""How much each scale counts, from fine to coarse (Wang et al. 2003, section 3.2)."""
KERNEL = 11
"""Side of the window that is compared, in pixels."""


def similarity_estimate(
    pixels: npt.NDArray[np.uint8],
    groups: npt.NDArray[np.int64],
    weights: Weights,
    *,
    seed: int,
) -> Estimate:
    """Measure the mean MS-SSIM of random pairs, none of one patient.

    Args:
        pixels: (N, S, S) uint8.
        groups: (N,), which patient each is of.
        weights: (R, N), how often each is in each bootstrap sample.
        seed: Decides the pairs.

    Raises:
        CannotMeasureError: No two images of different patients, or images too small for a window.
    """
    first, second = random_pairs(groups, seed)
    if len(first) == 0:
        raise CannotMeasureError("no two images of different patients to compare: have more images")
    values = similarities(pixels, first, second)
    pairs = weights[:, first] * weights[:, second]
    totals = pairs.sum(axis=1)
    some = totals > 0
    return Estimate(float(values.mean()), *interval(pairs[some] @ values / totals[some]))


def random_pairs(
    groups: npt.NDArray[np.int64], seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw pairs of different patients: every image in as many, but for those left out.

    Args:
        groups: (N,), which patient each image is of.
        seed: Decides the pairs.

    Returns:
        The places of both images of each pair.
    """
    rng = np.random.default_rng(derive_seed(seed, "pairs"))
    rounds = [rng.permutation(len(groups)) for _ in range(ROUNDS)]
    first = np.concatenate(rounds)
    second = np.concatenate([np.roll(order, -1) for order in rounds])
    different = groups[first] != groups[second]
    return first[different], second[different]


def similarities(
    pixels: npt.NDArray[np.uint8],
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    batch: int = BATCH,
) -> npt.NDArray[np.float64]:
    """Compute the MS-SSIM of pairs of images.

    Args:
        pixels: (N, S, S) uint8.
        first: (P,) places in `pixels`.
        second: (P,) likewise.
        batch: Pairs that are in memory at once.

    Returns:
        (P,), in [0, 1].

    Raises:
        CannotMeasureError: Images too small for a window.
    """
    betas = scales(pixels.shape[1])
    found = np.empty(len(first))
    report = progress_lines("MS-SSIM of pairs", len(first))
    for start in range(0, len(first), batch):
        rows = slice(start, start + batch)
        one, other = (_as_floats(pixels[places[rows]]) for places in (first, second))
        similarity = multiscale_structural_similarity_index_measure(
            one, other, kernel_size=KERNEL, data_range=1.0, betas=betas, reduction="none"
        )
        found[rows] = similarity.double().numpy()
        report(min(rows.stop, len(first)))
    return found


def scales(size: int) -> tuple[float, ...]:
    """Choose the weights of as many scales as images have room for, 1 in all.

    A window has to fit on the coarsest, and torchmetrics wants it to fit (scales - 1)^2 times: so 5
    scales from 176 pixels on, 4 from 99, 3 from 44.

    Args:
        size: The images' side.

    Raises:
        CannotMeasureError: Not even one window fits.
    """
    for count in range(len(BETAS), 0, -1):
        halvings = count - 1
        if size // max(halvings**2, 2**halvings) >= KERNEL:
            chosen = BETAS[:count]
            return tuple(beta / sum(chosen) for beta in chosen)
    raise CannotMeasureError(
        f"images of {size} px, and MS-SSIM compares windows of {KERNEL}: enlarge them"
    )


def _as_floats(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """(P, S, S) uint8 to (P, 1, S, S) in [0, 1]."""
    return torch.from_numpy(pixels.astype(np.float32))[:, None] / 255
