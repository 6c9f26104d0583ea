"""How well a classifier finds findings: those of real images, and those asked of samples."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.data.conditions import multi_hot
from cxr_pipeline.evaluation.image_sets import REAL, ImageSet
from cxr_pipeline.evaluation.measured import Findings, Measured, Missing
from cxr_pipeline.evaluation.ranking import auroc, average_precision
from cxr_pipeline.evaluation.resampling import interval, multiplicities

logger = logging.getLogger(__name__)

MEAN = "mean"
"""What the mean over findings is called where findings are named."""

AGREEMENT = "agreement/auroc"

MEASURES = {"auroc": auroc, "average_precision": average_precision}

SCORES = ["finding", "metric", "value", "low", "high", "positives", "n"]
ASKED = ["model", "finding", "auroc", "low", "high", "asked", "n"]

Judge = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""Given (N, S, S) images: (N, C) probabilities of the findings; `ImageClassifier.probabilities`."""


def score_classifier(
    probabilities: npt.NDArray[np.floating],
    truths: npt.NDArray[np.bool_],
    entries: Sequence[str],
    groups: npt.NDArray[np.int64],
    *,
    replicates: int,
    seed: int,
) -> pd.DataFrame:
    """Score a classifier by the findings of real images, with intervals over patients.

    Args:
        probabilities: (N, C), the classifier's.
        truths: (N, C), whether each finding is there.
        entries: The findings' names, C.
        groups: (N,), which patient each image is of.
        replicates: Bootstrap samples an interval is from.
        seed: Decides them.

    Returns:
        `finding`, `metric` (`auroc`, `average_precision`), `value`, `low`, `high`, `positives`
        (images that show it), `n`: a row for each finding and, as `mean`, for the mean over those
        that some images show and some do not. Of others all numbers are NaN, and a warning names
        them; of a finding that a single patient has, or lacks, the interval is NaN.

    Raises:
        ValueError: If a probability is no number.
    """
    count = len(truths)
    positives = truths.sum(axis=0)
    alike = [name for name, some in zip(entries, positives, strict=True) if some in {0, count}]
    if alike:
        logger.warning(
            "No score for %s: all or none of the %d held-out images show it; the mean is over the "
            "other findings",
            ", ".join(alike),
            count,
        )
    weights = _draws(groups, replicates, seed)
    rows: list[tuple[Any, ...]] = []
    for metric, measure in MEASURES.items():
        table = _table(measure, probabilities, truths, weights)
        for name, column, there in zip(entries, table.T, truths.T, strict=True):
            numbers = _with_interval(column, lone=_lone(there, groups))
            rows.append((name, metric, *numbers, int(there.sum()), count))
        shown = int(truths.any(axis=1).sum())
        rows.append((MEAN, metric, *_with_interval(_mean(table)), shown, count))
    return pd.DataFrame(rows, columns=SCORES)


def agreement(
    sets: Iterable[ImageSet],
    judge: Judge,
    entries: Sequence[str],
    *,
    classifier: str,
    replicates: int,
    seed: int,
) -> tuple[Findings, pd.DataFrame]:
    """Ask a classifier whether images show what they are said to show.

    For each finding: the AUROC of its probability between the samples asked to show it and those
    not asked. 0.5 is a model that does as it likes, and real images, by their labels, show how much
    the classifier could find.

    Args:
        sets: Samples, labelled with what each was asked to show, and real images.
        judge: The classifier's.
        entries: The findings' names, C.
        classifier: The digest of its weights, for the facts.
        replicates: Bootstrap samples an interval is from.
        seed: Decides them.

    Returns:
        The mean over the findings asked for, a row a set; and for each set and finding `model`,
        `finding`, `auroc`, `low`, `high`, `asked` (how many were), `n`.
    """
    facts = {"classifier": classifier, "replicates": replicates, "seed": seed}
    found = Findings("agreement", {}, facts=facts)
    rows: list[tuple[Any, ...]] = []
    for whole in sets:
        if whole.name != REAL:
            found.subjects[whole.name] = str(whole.facts["digest"])
        labelled = np.flatnonzero([bool(label) for label in whole.labels])
        if len(labelled) == 0:
            reason = "not conditional: its images were not asked to show anything"
            found.missing.append(Missing(whole.name, AGREEMENT, reason))
            continue
        images = whole if len(labelled) == len(whole) else whole.take(labelled)
        asked = multi_hot(images.labels, entries).numpy() > 0
        probabilities = judge(images.pixels)
        obstacle = _obstacle(probabilities, asked)
        if obstacle:
            found.missing.append(Missing(images.name, AGREEMENT, obstacle))
            continue
        weights = _draws(images.groups, replicates, seed)
        table = _table(auroc, probabilities, asked, weights)
        for name, column, there in zip(entries, table.T, asked.T, strict=True):
            numbers = _with_interval(column, lone=_lone(there, images.groups))
            rows.append((images.name, name, *numbers, int(there.sum()), len(images)))
        mean = _with_interval(_mean(table))
        found.rows.append(Measured(images.name, AGREEMENT, *mean, len(images)))
    return found, pd.DataFrame(rows, columns=ASKED)


def _obstacle(probabilities: npt.NDArray[np.floating], asked: npt.NDArray[np.bool_]) -> str | None:
    if not np.isfinite(probabilities).all():
        return "the classifier's probabilities are not all numbers: train it anew"
    if not (asked.any(axis=0) & ~asked.all(axis=0)).any():
        return (
            f"each finding was asked of all {len(asked)} images or of none: draw them with "
            "sample_findings=training"
        )
    return None


def _draws(groups: npt.NDArray[np.int64], replicates: int, seed: int) -> npt.NDArray[np.float64]:
    """How often each image counts, (1 + R, N): once in the first row, then as drawn."""
    return np.vstack([np.ones(len(groups)), multiplicities(groups, replicates, seed)])


def _table(
    measure: Callable[..., npt.NDArray[np.float64]],
    scores: npt.NDArray[np.floating],
    truths: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Each finding's measure in each draw, (1 + R, C)."""
    columns = zip(scores.T, truths.T, strict=True)
    return np.column_stack([measure(own, there, weights) for own, there in columns])


def _mean(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean over the findings that a draw has, (1 + R,); NaN where it has none."""
    there = np.isfinite(table)
    count = there.sum(axis=1)
    means = np.full(len(table), np.nan)
    np.divide(np.where(there, table, 0.0).sum(axis=1), count, out=means, where=count > 0)
    return means


def _lone(there: npt.NDArray[np.bool_], groups: npt.NDArray[np.int64]) -> bool:
    """Whether one patient alone, or none, is on one side of a comparison."""
    return min(len(np.unique(groups[there])), len(np.unique(groups[~there]))) < 2


def _with_interval(
    column: npt.NDArray[np.float64], *, lone: bool = False
) -> tuple[float, float, float]:
    """The value and its interval's ends, of a column of the table.

    Draws of a lone patient do not differ in whom they are of: they would make an interval of no
    width, so there is none.
    """
    low, high = (float("nan"),) * 2 if lone else interval(column[1:])
    return float(column[0]), low, high
