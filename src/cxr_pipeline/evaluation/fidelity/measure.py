"""Every metric of fidelity and diversity, of every set, and of real images against real ones.

Real images are parted by patient in two halves. One is the reference. The other is measured like a
model's samples: what it scores is the floor, below which no difference to real images shows.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from cxr_pipeline.evaluation.fidelity.chosen import (
    Chosen,
    Describe,
    Features,
    choose,
    comparable_features,
    comparable_pixels,
)
from cxr_pipeline.evaluation.fidelity.frechet import frechet_estimate
from cxr_pipeline.evaluation.fidelity.kept_scores import (
    SetScores,
    facts_that_decide,
    kept_scores,
)
from cxr_pipeline.evaluation.fidelity.kernel_distance import kernel_estimate
from cxr_pipeline.evaluation.fidelity.manifolds import manifold_estimates
from cxr_pipeline.evaluation.fidelity.power_spectrum import spectrum_estimate
from cxr_pipeline.evaluation.fidelity.rankings import FRECHET, disagreements, orders
from cxr_pipeline.evaluation.fidelity.sliced_wasserstein import wasserstein_estimate
from cxr_pipeline.evaluation.fidelity.structural_similarity import similarity_estimate
from cxr_pipeline.evaluation.image_sets import ImageSet, halves
from cxr_pipeline.evaluation.kept_features import FeatureExtractor
from cxr_pipeline.evaluation.measured import CannotMeasureError, Findings, Measured, Missing
from cxr_pipeline.evaluation.resampling import Estimate

logger = logging.getLogger(__name__)

MANIFOLDS = ("fidelity/precision", "fidelity/density", "diversity/recall", "diversity/coverage")
Note = Callable[[Sequence[str], Callable[[], Sequence[Estimate]]], None]
"""Notes down the metrics of these names, or why they cannot be measured."""


def measure_fidelity(
    sets: Sequence[ImageSet],
    real: ImageSet,
    extractors: Sequence[FeatureExtractor],
    *,
    features: Describe,
    neighbours: int,
    kid_subset: int,
    replicates: int,
    seed: int,
    kept: Path | None = None,
) -> Findings:
    """Measure how like real images each set is, and how varied.

    All sets are cut to the size of the smallest, since most metrics depend on it. One that is too
    small for KID or the manifolds is measured as it is, and does not make the others smaller.

    Args:
        sets: Models' samples, folders' images.
        real: Images of patients held out.
        extractors: What features are compared.
        features: Describes a set's images by an extractor, (N, F).
        neighbours: k of precision, recall, density and coverage.
        kid_subset: Images in each of KID's subsets.
        replicates: Bootstrap samples that an interval is from.
        seed: Decides halves, pairs, patches, directions and bootstrap samples.
        kept: Where each set's scores are kept, and found again by the sets' facts, which must name
            all that their pixels follow from; `None` keeps none.

    Returns:
        Rows of each set and of `real`, the floor; what cannot be measured is among its `missing`.
    """
    found = Findings("fidelity", {one.name: str(one.facts.get("digest", "")) for one in sets})
    reference, floor = halves(real.groups, seed)
    most = min(len(reference), len(floor))
    enough = min(max(neighbours + 1, kid_subset), most)
    sizes = [len(one) for one in sets if len(one) > 1]
    size = min([most, *([one for one in sizes if one >= enough] or sizes)])
    how: dict[str, Any] = {"neighbours": neighbours, "kid_subset": kid_subset, "seed": seed}
    draw = partial(choose, replicates=replicates, seed=seed)
    dimensions: dict[str, int] = {}
    of_real = {one.name: cache(partial(features, one, real)) for one in extractors}

    def measure(one: ImageSet, count: int) -> SetScores:
        logger.info("Fidelity of %s: %d images, as many real ones", one.name, count)
        scores = SetScores()
        against = draw(real, reference, count, stream="reference")
        places = floor if one is real else np.arange(len(one))
        chosen = draw(one, places, count, stream="set")
        note = partial(_note, scores, count, one.name)
        _measure_pixels(note, against, chosen, seed)
        for extractor in extractors:
            name, given = extractor.name, of_real[extractor.name]
            logger.info("Fidelity of %s by %s", one.name, name)
            own = given if one is real else cache(partial(features, extractor, one))
            both = partial(_both, name, against, chosen, given, own, scores.dimensions)
            _measure_features(note, name, against, chosen, both, **how)
        return scores

    for one in [real, *sets]:
        count = min(size, len(one))
        if kept is None:
            scores = measure(one, count)
        else:
            key = {
                **how,
                "replicates": replicates,
                "count": count,
                "set": "floor" if one is real else facts_that_decide(one),
                "real": facts_that_decide(real),
                "extractors": {own.name: own.sha256 for own in extractors},
            }
            scores = kept_scores(kept, key, one.name, partial(measure, one, count))
        found.rows.extend(scores.rows)
        found.missing.extend(scores.missing)
        dimensions |= scores.dimensions
    found.facts.update(
        n=size,
        patients=len(np.unique(real.groups)),
        replicates=replicates,
        **how,
        smaller={one.name: len(one) for one in sets if len(one) < size},
        extractors={
            one.name: {"sha256": one.sha256, "dimensions": dimensions.get(one.name)}
            for one in extractors
        },
        order=orders(found.rows, size),
        disagreements=disagreements(found.rows, size),
    )
    for line in found.facts["disagreements"]:
        logger.warning("Extractors disagree: %s", line)
    return found


def _measure_pixels(note: Note, reference: Chosen, chosen: Chosen, seed: int) -> None:
    weights = reference.weights, chosen.weights
    sides = partial(comparable_pixels, reference, chosen)
    note(
        ["fidelity/sliced_wasserstein"],
        lambda: [wasserstein_estimate(*sides(), *weights, seed=seed)],
    )
    note(["fidelity/power_spectrum"], lambda: [spectrum_estimate(*sides(), *weights)])
    note(
        ["diversity/ms_ssim"],
        lambda: [similarity_estimate(sides()[1], chosen.groups, chosen.weights, seed=seed)],
    )


def _measure_features(
    note: Note,
    extractor: str,
    reference: Chosen,
    chosen: Chosen,
    both: Callable[[], tuple[Features, Features]],
    *,
    neighbours: int,
    kid_subset: int,
    seed: int,
) -> None:
    weights = reference.weights, chosen.weights
    note([f"{FRECHET}/{extractor}"], lambda: [frechet_estimate(*both(), *weights)])
    note(
        [f"fidelity/kid/{extractor}"],
        lambda: [kernel_estimate(*both(), *weights, subset=kid_subset, seed=seed)],
    )
    note(
        [f"{name}/{extractor}" for name in MANIFOLDS],
        lambda: manifold_estimates(*both(), *weights, neighbours=neighbours),
    )


def _both(
    extractor: str,
    reference: Chosen,
    chosen: Chosen,
    real: Callable[[], Features],
    made: Callable[[], Features],
    dimensions: dict[str, int],
) -> tuple[Features, Features]:
    """Take the features of both sides, and note how many there are of an image."""
    sides = comparable_features(extractor, reference, chosen, real, made)
    dimensions[extractor] = sides[0].shape[1]
    return sides


def _note(
    scores: SetScores,
    count: int,
    model: str,
    names: Sequence[str],
    measure: Callable[[], Sequence[Estimate]],
) -> None:
    """Note down what was measured, or why it cannot be: the other metrics are measured anyway."""
    try:
        estimates = measure()
    except CannotMeasureError as error:
        scores.missing.extend(Missing(model, name, str(error)) for name in names)
        logger.warning("%s of %s: %s", ", ".join(names), model, error)
        return
    rows = zip(names, estimates, strict=True)
    scores.rows.extend(Measured(model, name, *estimate, n=count) for name, estimate in rows)
