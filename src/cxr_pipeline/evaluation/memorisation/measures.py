"""What is measured of a set of images from the training images that lie nearest to its own."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cxr_pipeline.evaluation.image_sets import ImageSet
from cxr_pipeline.evaluation.measured import COPIES, Measured
from cxr_pipeline.evaluation.memorisation.authenticity import authentic
from cxr_pipeline.evaluation.memorisation.descriptors import Read
from cxr_pipeline.evaluation.memorisation.flags import (
    Judge,
    Nearness,
    closer_in_first,
    copies_in_any,
    floor_share,
    judged_share,
)
from cxr_pipeline.evaluation.memorisation.neighbours import Neighbours
from cxr_pipeline.evaluation.memorisation.searches import Search
from cxr_pipeline.evaluation.resampling import Estimate, multiplicities
from cxr_pipeline.evaluation.shares import resampled_share

PIXELS, FEATURES = "pixels", "features"
AUTHENTICITY = "memorisation/authenticity"
CLOSER = {space: f"memorisation/closer_in_{space}" for space in (PIXELS, FEATURES)}
METRICS = {PIXELS: (CLOSER[PIXELS], COPIES), FEATURES: (CLOSER[FEATURES], AUTHENTICITY)}
"""What a space is needed for. Without features, copies are looked for in pixels alone."""


class Looked(NamedTuple):
    """A set of images, and what lies near to each in the spaces that were looked in."""

    images: ImageSet
    found: dict[str, Neighbours]
    near: dict[str, Nearness]


def measures(
    looked: Looked,
    held_out: Looked,
    searches: Mapping[str, Search],
    read: Read,
    replicates: int,
    seed: int,
) -> list[Measured]:
    """Measure a set of samples by held-out images.

    Args:
        looked: The samples; in no other spaces than the held-out images.
        held_out: Real images that no model has seen.
        searches: What found the nearest training images, by space.
        read: Reads training images.
        replicates: Bootstrap samples an interval is from.
        seed: Decides them.
    """

    def share(judge: Judge, spaces: Sequence[str]) -> Estimate:
        own, real = ([look.near[space] for space in spaces] for look in (looked, held_out))
        return judged_share(
            judge, own, real, held_out.images.groups, replicates=replicates, seed=seed
        )

    rows = {CLOSER[space]: share(closer_in_first, [space]) for space in looked.near}
    rows[COPIES] = share(copies_in_any, list(looked.near))
    return _rows(looked, rows | _authenticity(looked, searches, read, replicates, seed))


def floors(
    held_out: Looked, searches: Mapping[str, Search], read: Read, replicates: int, seed: int
) -> list[Measured]:
    """Measure held-out images by one another, a half by the other half's patients.

    Args:
        held_out: Real images that no model has seen.
        searches: As for `measures`.
        read: As for `measures`.
        replicates: Halvings, and bootstrap samples, an interval is from.
        seed: Decides them.
    """

    def share(judge: Judge, spaces: Sequence[str]) -> Estimate:
        near = [held_out.near[space] for space in spaces]
        return floor_share(judge, near, held_out.images.groups, replicates=replicates, seed=seed)

    rows = {CLOSER[space]: share(closer_in_first, [space]) for space in held_out.near}
    rows[COPIES] = share(copies_in_any, list(held_out.near))
    return _rows(held_out, rows | _authenticity(held_out, searches, read, replicates, seed))


def _authenticity(
    looked: Looked, searches: Mapping[str, Search], read: Read, replicates: int, seed: int
) -> dict[str, Estimate]:
    """The share of images that are their own, among features."""
    if FEATURES not in looked.found:
        return {}
    own = authentic(looked.found[FEATURES], searches[FEATURES], read)
    weights = multiplicities(looked.images.groups, replicates, seed)
    draws: npt.NDArray[np.float64] = weights @ own / weights.sum(axis=1)
    return {AUTHENTICITY: resampled_share(float(own.mean()), draws, len(own))}


def _rows(looked: Looked, shares: Mapping[str, Estimate]) -> list[Measured]:
    name, count = looked.images.name, len(looked.images)
    return [Measured(name, metric, *share, count) for metric, share in shares.items()]
