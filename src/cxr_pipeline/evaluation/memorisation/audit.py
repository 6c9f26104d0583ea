"""The audit: are a model's samples nearer to its training images than unseen real images are?"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.data.labelled_sheets import LabelledImages
from cxr_pipeline.evaluation.image_sets import REAL, ImageSet
from cxr_pipeline.evaluation.kept_features import FeatureExtractor, kept_features
from cxr_pipeline.evaluation.measured import Findings, Missing
from cxr_pipeline.evaluation.memorisation.descriptors import describe
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
    NotFiniteError,
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
    sets: Sequence[ImageSet], real: ImageSet, training: ImageSet, extractor: FeatureExtractor, *,
    kept: Path, seed: int, replicates: int, max_memorised: float | None = None,
    planted: int = PLANTED,
) -> Audit:  # fmt: skip
    """Look for copies of training images among samples, and measure what such a look can find.

    Args:
        sets: The models' samples, and folders; of any size.
        real: Held-out images, by which samples are judged.
        training: The images that models were trained on; its pixels may be memory-mapped.
        extractor: What is looked among features of, beside pixels.
        kept: Where the training images' features are kept.
        seed: Decides draws, halves, and what is planted.
        replicates: Bootstrap samples an interval is from.
        max_memorised: The release gate, which goes on record beside the shares.
        planted: Copies of training images that are planted at most, of each kind.
    """
    findings = Findings(PART, {one.name: str(one.facts["digest"]) for one in sets})
    findings.facts.update(
        training_images=len(training),
        extractor={"name": extractor.name, "sha256": extractor.sha256},
        max_memorised=max_memorised,
        seed=seed,
    )
    everyone = [REAL, *findings.subjects]
    too_few = _too_few(real, training)
    if too_few:
        _miss(findings, everyone, dict.fromkeys(METRICS, too_few))
        return Audit(findings, pd.DataFrame(columns=COLUMNS), _distances([]), {}, {})

    def read(places: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        return training.pixels[places]

    searches, problems = _searches(training, extractor, kept)
    held_out, more = _look(real, searches)
    _miss(findings, everyone, problems | more)
    searches = {space: searches[space] for space in held_out.near}
    findings.rows.extend(floors(held_out, searches, read, replicates, seed))
    looks, flags, sheets = [held_out], {}, {}
    for one in sets:
        looked, problems = _look(one, searches)
        _miss(findings, [one.name], problems)
        beside = [held_out.near[space] for space in looked.near]
        flags[one.name] = copies_in_any(list(looked.near.values()), beside)
        findings.rows.extend(measures(looked, held_out, searches, read, replicates, seed))
        sheets[one.name] = closest_pairs(looked, flags[one.name], held_out, read)
        looks.append(looked)
    logger.info("memorisation: planting copies, to know how many would be found")

    def look(pixels: npt.NDArray[np.uint8]) -> dict[str, Nearness]:
        found, problems = _searched(pixels, searches)
        for reason in problems.values():
            logger.warning("planted copies: %s", reason)
        return {space: nearness(one) for space, one in found.items()}

    table = power(look, held_out.near, real.groups, read, len(training), seed=seed, planted=planted)
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


def _too_few(real: ImageSet, training: ImageSet) -> str | None:
    patients = len(np.unique(real.groups))
    if len(real) < LEAST or patients < 2:
        return (
            f"{len(real)} held-out images of {patients} patients are too few to judge samples by: "
            f"{LEAST} of 2 are needed; raise evaluation.images, labels.validation or labels.test"
        )
    if len(training) < LEAST:
        return (
            f"{len(training)} training images are too few to tell a copy from what lies near to "
            f"all: {LEAST} are needed; add images"
        )
    return None


def _searches(
    training: ImageSet, extractor: FeatureExtractor, kept: Path
) -> tuple[dict[str, Search], dict[str, str]]:
    """Set up the searches that are possible, and say why others are not."""
    logger.info("memorisation: describing %d training images", len(training))
    descriptors = describe(lambda places: training.pixels[places], len(training))
    searches = {PIXELS: pixel_search(descriptors, NEIGHBOURS)}
    features = kept_features(kept, extractor, training)
    wrong = int((~np.isfinite(features).all(axis=1)).sum())
    if wrong:
        return searches, {FEATURES: not_finite(extractor.name, wrong, len(training))}
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
        except NotFiniteError as error:
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
