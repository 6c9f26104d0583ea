"""Shares of images, with intervals that hold for rare ones too."""

import math

import numpy as np
import numpy.typing as npt

from cxr_pipeline.evaluation.resampling import Estimate, interval

Z = 1.959964
"""Standard deviations that hold the middle 95 % of a Gaussian."""


def wilson(count: float, total: int) -> tuple[float, float]:
    """Wilson's interval for a share at 95 %: never of no width, nor beyond 0 and 1.

    Args:
        count: How many have what is looked for.
        total: How many were looked at, at least 1.
    """
    share, spread = count / total, Z**2 / total
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def resampled_share(value: float, draws: npt.NDArray[np.float64], total: int) -> Estimate:
    """Give a share the wider of two intervals, at each end.

    Resampling knows of images that are alike and of thresholds that are uncertain; but of a share
    of 0 it says that nothing else is possible. Wilson's interval knows better.

    Args:
        value: The share.
        draws: (R,), what resampling made of it.
        total: Images that it is of.
    """
    by_draws, by_count = interval(draws), wilson(value * total, total)
    return Estimate(value, min(by_draws[0], by_count[0]), max(by_draws[1], by_count[1]))
