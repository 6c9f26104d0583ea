"""The images of two sets that are compared, and their features."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_pipeline.evaluation.image_sets import ImageSet
from cxr_pipeline.evaluation.kept_features import FeatureExtractor
from cxr_pipeline.evaluation.measured import CannotMeasureError
from cxr_pipeline.evaluation.resampling import multiplicities
from cxr_pipeline.randomness import derive_seed

Features = npt.NDArray[np.float32]
Describe = Callable[[FeatureExtractor, ImageSet], Features]
Sides = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class Chosen:
    """Some images of a set."""

    name: str
    """The set's."""
    places: npt.NDArray[np.int64]
    """(N,), where they stand in the set."""
    pixels: npt.NDArray[np.uint8]
    """(N, S, S)."""
    groups: npt.NDArray[np.int64]
    """(N,), which patient each is of."""
    weights: npt.NDArray[np.float64]
    """(R, N), how often each is in each bootstrap sample."""


def choose(
    images: ImageSet,
    places: npt.NDArray[np.int64],
    count: int,
    *,
    stream: str,
    replicates: int,
    seed: int,
) -> Chosen:
    """Take so many of the images at these places, spread over all of them.

    Args:
        images: The set.
        places: Which of them may be taken.
        count: How many are.
        stream: What tells these bootstrap samples from others.
        replicates: Bootstrap samples to draw, R.
        seed: Decides them.
    """
    spread = np.linspace(0, max(len(places) - 1, 0), count).astype(np.int64)
    chosen = places[spread]
    groups = images.groups[chosen]
    weights = np.empty((replicates, 0))
    if count > 0:
        weights = multiplicities(groups, replicates, derive_seed(seed, stream))
    return Chosen(images.name, chosen, images.pixels[chosen], groups, weights)


def _require_finite(rows: Features, extractor: str, name: str) -> None:
    broken = int(np.count_nonzero(~np.isfinite(rows).all(axis=1)))
    if broken:
        raise CannotMeasureError(
            f"the {extractor}'s features of {broken} of {len(rows)} images of {name} are not "
            f"finite: mend its weights, or leave {extractor} out of evaluation.extractors"
        )


def require_enough(reference: Chosen, chosen: Chosen) -> None:
    """Refuse sides of less than two images, or of one patient.

    Raises:
        CannotMeasureError: If a side has too few: nothing can be said of how sure a number is.
    """
    patients = len(np.unique(reference.groups))
    if patients < 2:
        raise CannotMeasureError(
            f"{patients} patients in a half of those held out, at least 2 are needed: raise "
            "evaluation.images, or labels.validation and labels.test"
        )
    if len(np.unique(chosen.groups)) < 2:
        raise CannotMeasureError(
            f"{len(chosen.places)} images of {chosen.name}, at least 2 are needed, of as many "
            "patients: have more"
        )


def comparable_pixels(reference: Chosen, chosen: Chosen) -> Sides:
    """Take the pixels of both sides.

    Raises:
        CannotMeasureError: If there are too few images, or they are of different sizes.
    """
    require_enough(reference, chosen)
    size, real_size = chosen.pixels.shape[1], reference.pixels.shape[1]
    if size != real_size:
        raise CannotMeasureError(
            f"images of {chosen.name} are of {size} px, real ones of {real_size} px: "
            f"resize them to {real_size} px"
        )
    return reference.pixels, chosen.pixels


def comparable_features(
    extractor: str,
    reference: Chosen,
    chosen: Chosen,
    real: Callable[[], Features],
    made: Callable[[], Features],
) -> tuple[Features, Features]:
    """Take the features of both sides out of those of the whole sets.

    Args:
        extractor: Its name.
        reference: Real images.
        chosen: Images of the set.
        real: Describes the images of the set that the reference is of; asked again and again.
        made: Likewise of the other.

    Raises:
        CannotMeasureError: If there are too few images, or features are no numbers.
    """
    require_enough(reference, chosen)
    sides = []
    for side, described in ((reference, real), (chosen, made)):
        rows = described()
        _require_finite(rows, extractor, side.name)
        sides.append(rows[side.places])
    return sides[0], sides[1]
