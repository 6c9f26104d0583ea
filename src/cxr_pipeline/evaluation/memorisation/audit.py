"""The audit: are a model's samples nearer to its training images than unseen real images are?"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.data.labelled_sheets import LabelledImages
from cxr_pipeline.evaluation.image_sets import REAL, ImageSet
from cxr_pipeline.evaluation.kept_features import FeatureExtractor
from cxr_pipeline.evaluation.measured import Findings, Missing
from cxr_pipeline.evaluation.memorisation.descriptors import Read, describe
from cxr_pipeline.evaluation.memorisation.flags import (
    NEIGHBOURS,
    PERCENTILE,
    Bools,
    Nearness,
    copies_in_any,
    limits,
    nearness,
)
from cxr_pipeline.evaluation.memorisation.measures import (
    FEATURES,
    METRICS,
    PIXELS,
    Looked,
    floors,
    measures,
)
from cxr_pipeline.evaluation.memorisation.neighbours import Neighbours
from cxr_pipeline.evaluation.memorisation.planted import ANY, COLUMNS, PLANTED, power
from cxr_pipeline.evaluation.memorisation.searches import (
    FeaturesNotFiniteError,
    Search,
    feature_search,
    not_finite,
    pixel_search,
)
from cxr_pipeline.evaluation.memorisation.sheet import closest_pairs

logger = logging.getLogger(__name__)

PART = "memorisation"
LEAST = 20
"""Held-out images, and training images, without which nothing can be said."""


@dataclass(frozen=True)
class TrainingImages:
    """What samples may be copies of; the pixels are read a few at a time."""

    count: int
    """M."""
    read: Read
    """Reads some by their positions, 0 to M - 1, in any order: (N, S, S) uint8."""
    features: npt.NDArray[np.float32]
    """(M, F), made by the extractor."""


class Audit(NamedTuple):
    """What was found."""

    findings: Findings
    power: pd.DataFrame
    """`space`, `change`, `planted`, `found`, `share`, `low`, `high`."""
    distances: pd.DataFrame
    """`model`, `space`, `distance` to the nearest training image: a row an image."""
    sheets: dict[str, LabelledImages]
    """The closest pairs, by model."""
    flags: dict[str, Bools]
    """(N,), which samples are copies, by model. A model that is absent was not audited."""


def audit_sets(
    sets: Sequence[ImageSet],
    real: ImageSet,
    training: TrainingImages,
    *,
    extractor: FeatureExtractor,
    replicates: int,
    seed: int,
    planted: int = PLANTED,
) -> Audit:
    """Look for copies of training images among samples, and measure what such a look can find.

    Args:
        sets: The models' samples, and folders; of any size.
        real: Held-out images, by which samples are judged.
        training: The images that models were trained on.
        extractor: What made their features.
        replicates: Bootstrap samples an interval is from.
        seed: Decides these, halves, and what is planted.
        planted: Copies of training images that are planted at most, of each kind.
    """
    findings = Findings(PART, {one.name: str(one.facts["digest"]) for one in sets})
    findings.facts.update(
        training_images=training.count,
        extractor={"name": extractor.name, "sha256": extractor.sha256},
        seed=seed,
    )
    everyone = [REAL, *findings.subjects]
    too_few = _too_few(real, training)
    if too_few:
        _miss(findings, everyone, dict.fromkeys(METRICS, too_few))
        return Audit(findings, pd.DataFrame(columns=COLUMNS), _distances([]), {}, {})
    searches, problems = _searches(training, extractor)
    held_out, more = _look(real, searches)
    _miss(findings, everyone, problems | more)
    searches = {space: searches[space] for space in held_out.near}
    findings.rows.extend(floors(held_out, searches, training.read, replicates, seed))
    looks, flags, sheets = [held_out], {}, {}
    for one in sets:
        looked, problems = _look(one, searches)
        _miss(findings, [one.name], problems)
        beside = [held_out.near[space] for space in looked.near]
        flags[one.name] = copies_in_any(list(looked.near.values()), beside)
        findings.rows.extend(measures(looked, held_out, searches, training.read, replicates, seed))
        sheets[one.name] = closest_pairs(looked, flags[one.name], held_out, training.read)
        looks.append(looked)
    logger.info("memorisation: planting copies, to know how many would be found")

    def look(pixels: npt.NDArray[np.uint8]) -> dict[str, Nearness]:
        found, problems = _searched(pixels, searches)
        for reason in problems.values():
            logger.warning("planted copies: %s", reason)
        return {space: nearness(one) for space, one in found.items()}

    table = power(
        look, held_out.near, real.groups, training.read, training.count, seed=seed, planted=planted
    )
    findings.facts.update(_facts(held_out, table))
    return Audit(findings, table, _distances(looks), sheets, flags)


def _miss(findings: Findings, names: Sequence[str], reasons: Mapping[str, str]) -> None:
    """Say of each set what cannot be measured, by the space that it is measured in."""
    findings.missing.extend(
        Missing(name, metric, reason)
        for name in names
        for space, reason in reasons.items()
        for metric in METRICS[space]
    )


def _too_few(real: ImageSet, training: TrainingImages) -> str | None:
    patients = len(np.unique(real.groups))
    if len(real) < LEAST or patients < 2:
        return (
            f"{len(real)} held-out images of {patients} patients are too few to judge samples by: "
            f"{LEAST} of 2 are needed; raise evaluation.images, labels.validation or labels.test"
        )
    if training.count < LEAST:
        return (
            f"{training.count} training images are too few to tell a copy from what lies near to "
            f"all: {LEAST} are needed; add images"
        )
    return None


def _searches(
    training: TrainingImages, extractor: FeatureExtractor
) -> tuple[dict[str, Search], dict[str, str]]:
    """Set up the searches that are possible, and say why others are not."""
    logger.info("memorisation: describing %d training images", training.count)
    searches = {PIXELS: pixel_search(describe(training.read, training.count), NEIGHBOURS)}
    features = training.features
    wrong = int((~np.isfinite(features).all(axis=1)).sum())
    if wrong:
        return searches, {FEATURES: not_finite(extractor.name, wrong, training.count)}
    searches[FEATURES] = feature_search(features, extractor.features, extractor.name, NEIGHBOURS)
    return searches, {}


def _look(images: ImageSet, searches: dict[str, Search]) -> tuple[Looked, dict[str, str]]:
    logger.info("memorisation: %d images of %s", len(images), images.name)
    found, problems = _searched(images.pixels, searches)
    return Looked(images, found, {space: nearness(one) for space, one in found.items()}), problems


def _searched(
    pixels: npt.NDArray[np.uint8], searches: dict[str, Search]
) -> tuple[dict[str, Neighbours], dict[str, str]]:
    """Find the nearest training images, and say where they cannot be found."""
    found, problems = {}, {}
    for space, search in searches.items():
        try:
            found[space] = search(pixels)
        except FeaturesNotFiniteError as error:
            problems[space] = str(error)
    return found, problems


def _distances(looks: Sequence[Looked]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"model": look.images.name, "space": space, "distance": near.distances})
        for look in looks
        for space, near in look.near.items()
    ]
    empty = pd.DataFrame(columns=["model", "space", "distance"])
    return pd.concat(parts, ignore_index=True) if parts else empty


def _facts(held_out: Looked, table: pd.DataFrame) -> dict[str, Any]:
    found = table[table["space"] == ANY]
    return {
        "held_out": len(held_out.images),
        "held_out_patients": len(np.unique(held_out.images.groups)),
        "percentile": PERCENTILE,
        "neighbours": NEIGHBOURS,
        "spaces": {
            space: {
                "distance_limit": limits(near).distance,
                "ratio_limit": limits(near).ratio,
                "median_distance": float(np.median(near.distances)),
            }
            for space, near in held_out.near.items()
        },
        "power": dict(zip(found["change"], found["share"].astype(float), strict=True)),
    }
