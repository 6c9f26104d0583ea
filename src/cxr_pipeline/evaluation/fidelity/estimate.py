"""A number with its interval, as the metrics here give it."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_pipeline.evaluation.resampling import Estimate, centred_interval, interval
from cxr_pipeline.evaluation.shares import resampled_share

Floats = npt.NDArray[np.floating[Any]]
"""Features."""
Weights = npt.NDArray[np.float64]
"""How often each image is in each bootstrap sample."""


def centred(value: float, draws: npt.NDArray[np.float64]) -> Estimate:
    """Of a distance, which bootstrap samples raise by being less varied than the set."""
    return Estimate(value, *centred_interval(value, draws))


def above_zero(value: float, draws: npt.NDArray[np.float64]) -> Estimate:
    """Of a distance that cannot be negative: rounding and the interval are cut at 0."""
    value, low, high = centred(max(value, 0.0), draws)
    return Estimate(value, max(low, 0.0), high)


def weighted_mean(values: Floats, weights: Weights) -> Estimate:
    """Of a mean over images, whose bootstrap draws are as good as the mean itself.

    Args:
        values: (N,).
        weights: (R, N), how often each is in each bootstrap sample.
    """
    draws = _means(values, weights)
    return Estimate(float(np.mean(values, dtype=np.float64)), *interval(draws))


def weighted_share(values: Floats, weights: Weights) -> Estimate:
    """Of a share of images, of which resampling knows too little where it is near 0 or 1.

    Args:
        values: (N,), 1 or 0.
        weights: (R, N), how often each is in each bootstrap sample.
    """
    share = float(np.mean(values, dtype=np.float64))
    return resampled_share(share, _means(values, weights), len(values))


def _means(values: Floats, weights: Weights) -> npt.NDArray[np.float64]:
    totals = weights.sum(axis=1)
    some = totals > 0
    means: npt.NDArray[np.float64] = weights[some] @ values / totals[some]
    return means
