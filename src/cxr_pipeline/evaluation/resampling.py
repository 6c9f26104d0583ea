"""Bootstrap samples: which images are drawn, and how often, patient by patient."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LEVEL = 0.95


class Estimate(NamedTuple):
    """A number, with the interval that it lies in at 95 %."""

    value: float
    low: float
    high: float


def multiplicities(
    groups: npt.NDArray[np.int64], replicates: int, seed: int
) -> npt.NDArray[np.float64]:
    """Draw groups with replacement, as many as there are, again and again.

    Images of one patient are alike, so that a patient is drawn with all of them.

    Args:
        groups: (N,), which patient each image is of.
        replicates: How often, R.
        seed: Decides the draws.

    Returns:
        (R, N): how often each image is in each draw.
    """
    names, places = np.unique(groups, return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=replicates
    )
    return np.asarray(draws[:, places], dtype=np.float64)


def interval(draws: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of bootstrap draws; those that are not finite, (R,), are left out.

    Returns:
        Its ends; NaN where no draw is finite.
    """
    finite = draws[np.isfinite(draws)]
    if len(finite) == 0:
        return float("nan"), float("nan")
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)


def centred_interval(value: float, draws: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of bootstrap draws, moved so that their mean is the value.

    Drawing with replacement makes sets less varied than they are, which by itself raises distances:
    only how draws differ among themselves says how sure a distance is.
    """
    low, high = interval(draws)
    shift = value - float(np.mean(draws[np.isfinite(draws)])) if not math.isnan(low) else 0.0
    return low + shift, high + shift
