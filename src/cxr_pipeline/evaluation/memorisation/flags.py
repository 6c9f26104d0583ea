"""When an image is taken for a copy: by what real images that no model has seen score.

Nearness alone is no proof: a blurred image lies near to everything. A copy is nearer to one
training image than held-out images are to theirs, and much nearer to that one than to the next.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cxr_pipeline.evaluation.image_sets import halves
from cxr_pipeline.evaluation.memorisation.neighbours import Neighbours
from cxr_pipeline.evaluation.resampling import Estimate, multiplicities
from cxr_pipeline.evaluation.shares import resampled_share

PERCENTILE = 0.01
"""Of held-out images: what is below it is rarer than one in a hundred of them."""
NEIGHBOURS = 20
"""Training images that the nearest one is compared with, itself among them."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Nearness(NamedTuple):
    """How near N images lie to the training images, in one space."""

    distances: Floats
    """(N,), to the nearest."""
    ratios: Floats
    """(N,), that distance over the mean of the next ones: small where one stands out."""

    def take(self, places: npt.NDArray[np.int64]) -> "Nearness":
        """Take some of the images."""
        return Nearness(self.distances[places], self.ratios[places])


class Limits(NamedTuple):
    """What is below is near."""

    distance: float
    ratio: float


def nearness(found: Neighbours) -> Nearness:
    """Compare each image's nearest training image with the next ones; two at least are there."""
    distances = found.distances.astype(np.float64)
    next_ones = distances[:, 1:].mean(axis=1)
    # Where many training images are the very same, their copy stands as near to all of them.
    ratios = np.divide(
        distances[:, 0], next_ones, out=np.zeros(len(distances)), where=next_ones > 0
    )
    return Nearness(distances[:, 0], ratios)


def limits(held_out: Nearness) -> Limits:
    """Find the 1st percentile of held-out images.

    Weibull's, by which a further held-out image falls below with a chance of 1 %; of fewer than 99
    images it is the least of them, below which a further one of N falls with 1 / (N + 1).
    """
    low = (np.quantile(values, PERCENTILE, method="weibull") for values in held_out)
    return Limits(*map(float, low))


def closer(images: Nearness, limit: Limits) -> Bools:
    """Tell which images are nearer to their nearest training image than 99 % held out."""
    return np.asarray(images.distances < limit.distance)


def copies(images: Nearness, limit: Limits) -> Bools:
    """Tell which images are nearer, and to one training image above all."""
    return closer(images, limit) & (images.ratios < limit.ratio)


def copies_in_any(spaces: Sequence[Nearness], held_out: Sequence[Nearness]) -> Bools:
    """Tell which images are copies in one space at least.

    Args:
        spaces: The images' nearness in each space.
        held_out: Likewise of held-out images.
    """
    judged = [copies(near, limits(real)) for near, real in zip(spaces, held_out, strict=True)]
    return np.asarray(np.any(judged, axis=0))


Judge = Callable[[Sequence[Nearness], Sequence[Nearness]], Bools]
"""Judges images by held-out ones: (N,)."""


def closer_in_first(spaces: Sequence[Nearness], held_out: Sequence[Nearness]) -> Bools:
    """Tell which images are closer in the first space."""
    return closer(spaces[0], limits(held_out[0]))


def judged_share(
    judge: Judge,
    spaces: Sequence[Nearness],
    held_out: Sequence[Nearness],
    groups: npt.NDArray[np.int64],
    *,
    replicates: int,
    seed: int,
) -> Estimate:
    """Measure which share of samples is so judged.

    Both samples and held-out patients are drawn again: the percentile is uncertain too.

    Args:
        judge: Tells of each sample.
        spaces: The samples' nearness in each space, N of them.
        held_out: Likewise of M held-out images.
        groups: (M,), their patients.
        replicates: Bootstrap samples.
        seed: Decides them.
    """
    count = len(spaces[0].distances)
    weights = multiplicities(np.arange(count), replicates, seed)
    draws = np.empty(replicates)
    for number, drawn in enumerate(multiplicities(groups, replicates, seed + 1)):
        places = np.repeat(np.arange(len(groups)), drawn.astype(np.int64))
        judged = judge(spaces, [real.take(places) for real in held_out])
        draws[number] = weights[number] @ judged / count
    return resampled_share(float(judge(spaces, held_out).mean()), draws, count)


def crossed(
    judge: Judge, held_out: Sequence[Nearness], groups: npt.NDArray[np.int64], seed: int
) -> Bools:
    """Judge each half of held-out patients by the other: false alarms, as none is a copy.

    Returns:
        (M,), for each held-out image.
    """
    judged = np.zeros(len(groups), dtype=np.bool_)
    first, second = halves(groups, seed)
    for here, there in ((first, second), (second, first)):
        judged[here] = judge(
            [real.take(here) for real in held_out], [real.take(there) for real in held_out]
        )
    return judged


def floor_share(
    judge: Judge,
    held_out: Sequence[Nearness],
    groups: npt.NDArray[np.int64],
    *,
    replicates: int,
    seed: int,
) -> Estimate:
    """Measure which share of held-out images is so judged by other held-out patients.

    Args:
        judge: Tells of each image.
        held_out: Nearness of M held-out images in each space.
        groups: (M,), their patients.
        replicates: How often they are parted into halves, each of which judges the other.
        seed: Decides the halves.

    Returns:
        The mean over all partings, with its interval.
    """
    draws = np.array(
        [crossed(judge, held_out, groups, seed + number).mean() for number in range(replicates)]
    )
    return resampled_share(float(draws.mean()), draws, len(groups))
