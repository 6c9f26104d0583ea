"""A number with its interval, as the metrics here give it."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cxr_pipeline.evaluation.resampling import centred_interval, interval

Floats = npt.NDArray[np.floating[Any]]
"""Features."""
Weights = npt.NDArray[np.float64]
"""How often each image is in each bootstrap sample."""


class Estimate(NamedTuple):
    """A number, with the interval that it lies in at 95 %."""

    value: float
    low: float
    high: float


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
    totals = weights.sum(axis=1)
    some = totals > 0
    draws = weights[some] @ values / totals[some]
    return Estimate(float(np.mean(values, dtype=np.float64)), *interval(draws))
