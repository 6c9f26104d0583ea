"""The kernel distance (KID): the squared maximum mean discrepancy between two sets of features.

With the kernel k(x, y) = (x y / F + 1)^3, unbiased (Binkowski et al. 2018, section 4):

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y),  x' not x, y' not y
"""

import math
import warnings

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from cxr_pipeline.evaluation.fidelity.estimate import Floats, Weights, centred
from cxr_pipeline.evaluation.fidelity.given_features import GivenFeatures
from cxr_pipeline.evaluation.fidelity.progress_lines import progress_lines
from cxr_pipeline.evaluation.measured import CannotMeasureError
from cxr_pipeline.evaluation.resampling import Estimate
from cxr_pipeline.randomness import derive_seed

TIMES = 100
"""How often each image is drawn into a subset: then which ones are drawn matters little."""
BLOCK = 512
"""Rows of a kernel matrix at a time."""
PARTS = 100
"""How often it is told how far it is: each time torchmetrics copies all features."""


def kernel_estimate(
    reference: Floats,
    features: Floats,
    reference_weights: Weights,
    weights: Weights,
    *,
    subset: int,
    seed: int,
) -> Estimate:
    """Measure a set's distance to the reference, with its interval.

    Args:
        reference: (N, F) features of real images.
        features: (M, F) features of the set.
        reference_weights: (R, N), how often each is in each bootstrap sample.
        weights: (R, M), likewise.
        subset: Images in each of the subsets that the distance is averaged over.
        seed: Decides the subsets.

    Raises:
        CannotMeasureError: Fewer images than a subset has.
    """
    value = kernel_distance(reference, features, subset, seed)
    return centred(value, kernel_draws(reference, features, reference_weights, weights))


def kernel_distance(reference: Floats, features: Floats, subset: int, seed: int) -> float:
    """Compute the distance with torchmetrics, in float64; torch's own random state is left alone.

    Args:
        reference: (N, F).
        features: (M, F).
        subset: Images in each of the subsets that the distance is averaged over.
        seed: Decides the subsets.

    Raises:
        CannotMeasureError: Fewer images than a subset has.
    """
    fewest, most = sorted((len(reference), len(features)))
    if fewest < subset:
        raise CannotMeasureError(
            f"{fewest} images to compare, fewer than evaluation.kid_subset={subset}: "
            "lower it, or have more images"
        )
    # All subsets of the size of the sets are the sets.
    subsets = 1 if most == subset else math.ceil(TIMES * most / subset)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save")
        metric = KernelInceptionDistance(
            feature=GivenFeatures(reference.shape[1]),
            subset_size=subset,
            compute_with_cache=False,
        )
    metric.update(torch.from_numpy(reference.astype(np.float64)), real=True)
    metric.update(torch.from_numpy(features.astype(np.float64)), real=False)
    total, step = 0.0, math.ceil(subsets / PARTS)
    report = progress_lines("KID's subsets", subsets)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "kernel distance"))
        for done in range(0, subsets, step):
            metric.subsets = min(step, subsets - done)  # which are drawn on from where it was
            mean, _ = metric.compute()
            total += float(mean) * metric.subsets
            report(done + metric.subsets)
    return total / subsets


def kernel_draws(
    reference: Floats,
    features: Floats,
    reference_weights: Weights,
    weights: Weights,
    block: int = BLOCK,
) -> npt.NDArray[np.float64]:
    """Compute the distance in each bootstrap sample, from all pairs of different images.

    Args:
        reference: (N, F).
        features: (M, F).
        reference_weights: (R, N), how often each is in each bootstrap sample.
        weights: (R, M), likewise.
        block: Rows of a kernel matrix that are in memory at once.

    Returns:
        (R,); NaN where a side has but one image, drawn again and again.
    """
    real, made = reference.astype(np.float64), features.astype(np.float64)
    across = _sums(real, made, reference_weights, weights, block)
    across /= reference_weights.sum(axis=1) * weights.sum(axis=1)
    return (
        _mean_within(real, reference_weights, block)
        + _mean_within(made, weights, block)
        - 2 * across
    )


def _mean_within(
    features: npt.NDArray[np.float64], weights: Weights, block: int
) -> npt.NDArray[np.float64]:
    """The mean over pairs of different images: the same one drawn twice is no pair."""
    squares = np.square(weights)
    itself = squares @ _kernel((features * features).sum(axis=1) / features.shape[1])
    pairs = np.square(weights.sum(axis=1)) - squares.sum(axis=1)
    sums = _sums(features, features, weights, weights, block) - itself
    means = np.full(len(weights), np.nan)
    np.divide(sums, pairs, out=means, where=pairs > 0)
    return means


def _sums(
    first: npt.NDArray[np.float64],
    second: npt.NDArray[np.float64],
    first_weights: Weights,
    second_weights: Weights,
    block: int,
) -> npt.NDArray[np.float64]:
    """The kernel summed over all pairs, each as often as both are drawn, (R,)."""
    sums = np.zeros(len(first_weights))
    report = progress_lines("KID's bootstrap samples, images", len(first))
    for start in range(0, len(first), block):
        rows = slice(start, start + block)
        kernels = _kernel(first[rows] @ second.T / first.shape[1])  # (block, M)
        sums += ((second_weights @ kernels.T) * first_weights[:, rows]).sum(axis=1)
        report(min(rows.stop, len(first)))
    return sums


def _kernel(products: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shifted = products + 1
    return np.asarray(shifted * shifted * shifted)
