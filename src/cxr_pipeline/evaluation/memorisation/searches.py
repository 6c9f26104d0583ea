"""Two ways of looking for the training images that an image may be a copy of."""

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from cxr_pipeline.evaluation.memorisation.descriptors import (
    DETAIL,
    DETAIL_SHIFTS,
    OVERVIEW,
    OVERVIEW_SHIFTS,
    PixelDescriptors,
    mirrored,
    ranked,
    sharpened,
    shifted,
)
from cxr_pipeline.evaluation.memorisation.neighbours import Neighbours, nearest, shown

AT_ONCE = 128
"""Images that are described at once."""
VARIANTS = 2 * len(OVERVIEW_SHIFTS) ** 2
CANDIDATES = 32
"""Training images that are compared in detail with each image."""

Search = Callable[[npt.NDArray[np.uint8]], Neighbours]
"""Finds the nearest training images of (N, S, S) uint8, K of each."""

Features = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""Turns (N, S, S) uint8 into (N, F) float32."""


def pixel_search(training: PixelDescriptors, count: int) -> Search:
    """Look in pixels, at every shift of an image and of its mirror image.

    Args:
        training: Descriptors of the training images.
        count: Neighbours wanted, at most `CANDIDATES`.
    """

    def search(images: npt.NDArray[np.uint8]) -> Neighbours:
        parts = []
        total = len(images)
        with shown(total, total * VARIANTS * len(training.overviews)) as report:
            for first in range(0, total, AT_ONCE):
                began = time.perf_counter()
                some = images[first : first + AT_ONCE]
                parts.append(_compared(some, training, count))
                report(first + len(some), {}, len(some) / (time.perf_counter() - began))
        return _joined(parts)

    return search


def _compared(images: npt.NDArray[np.uint8], training: PixelDescriptors, count: int) -> Neighbours:
    both = [ranked(images), ranked(mirrored(images))]
    queries = torch.cat([shifted(ranks, OVERVIEW, OVERVIEW_SHIFTS) for ranks in both], dim=1)
    candidates = nearest(queries.numpy(), training.overviews, CANDIDATES).places
    found = [
        _in_detail(np.stack([image, mirror]), training.details, places, count)
        for image, mirror, places in zip(*map(sharpened, both), candidates, strict=True)
    ]
    return Neighbours(
        np.stack([one.distances for one in found]), np.stack([one.places for one in found])
    )


def _in_detail(
    both: npt.NDArray[np.float32],
    details: npt.NDArray[np.float32],
    places: npt.NDArray[np.int64],
    count: int,
) -> Neighbours:
    """Compare one image and its mirror image, (2, S, S), with some training images."""
    queries = shifted(both, DETAIL, DETAIL_SHIFTS).flatten(0, 1)
    products = queries @ torch.from_numpy(details[places]).T
    # Measured at the best shift alone, by differences: products leave noise where a copy's is 0.
    best = queries[products.argmax(dim=0)].numpy().astype(np.float64)
    distances = np.sqrt(((best - details[places]) ** 2).sum(axis=1)).astype(np.float32)
    order = np.lexsort((places, distances))[:count]
    return Neighbours(distances[order], places[order])


class FeaturesNotFiniteError(ValueError):
    """Features of images are no numbers."""


def not_finite(name: str, wrong: int, count: int) -> str:
    """Say that an extractor gives features that are no numbers."""
    return (
        f"features of {name} are not finite for {wrong} of {count} images: train it "
        "anew, `kedro run --pipeline={name}`"
    )


def feature_search(
    training: npt.NDArray[np.float32], features: Features, name: str, count: int
) -> Search:
    """Look among features, of an image and of its mirror image.

    Args:
        training: (M, F) features of the training images; may be memory-mapped.
        features: What they were made with.
        name: The extractor's, for messages.
        count: Neighbours wanted.

    Returns:
        The search, which raises `FeaturesNotFiniteError` of images whose features are no numbers.
    """

    def search(images: npt.NDArray[np.uint8]) -> Neighbours:
        queries = np.stack([features(images), features(mirrored(images))], axis=1)
        wrong = int((~np.isfinite(queries).all(axis=(1, 2))).sum())
        if wrong:
            raise FeaturesNotFiniteError(not_finite(name, wrong, len(images)))
        return nearest(queries, training, count)

    return search


def _joined(parts: list[Neighbours]) -> Neighbours:
    return Neighbours(
        np.concatenate([part.distances for part in parts]),
        np.concatenate([part.places for part in parts]),
    )
