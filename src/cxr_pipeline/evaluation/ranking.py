"""How well scores tell images with a finding from those without, again and again over a bootstrap.

scikit-learn's measures, for all draws at once: one sort serves them all.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class _Levels(NamedTuple):
    """What lies at each distinct score, from the highest, (R, L) each."""

    positives: npt.NDArray[np.float64]
    negatives: npt.NDArray[np.float64]


def auroc(
    scores: npt.NDArray[np.floating], truths: npt.NDArray[np.bool_], weights: npt.NDArray[np.number]
) -> npt.NDArray[np.float64]:
    """The area under the ROC curve: how often images with a finding score above those without.

    Ties count as half.

    Args:
        scores: (N,), higher where the finding is likelier.
        truths: (N,), whether it is there.
        weights: (R, N), how often each image counts, at least 0; such as `multiplicities` draws.

    Returns:
        (R,) in [0, 1]; NaN where no image with it, or none without it, counts.

    Raises:
        ValueError: If a score is no number.
    """
    positives, negatives = _levels(scores, truths, weights)
    below = negatives.sum(axis=1, keepdims=True) - np.cumsum(negatives, axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return _share((positives * (below + negatives / 2)).sum(axis=1), pairs)


def average_precision(
    scores: npt.NDArray[np.floating], truths: npt.NDArray[np.bool_], weights: npt.NDArray[np.number]
) -> npt.NDArray[np.float64]:
    """The precision at each score, averaged over the images with the finding.

    Scores that say nothing give the share of images that show it.

    Args:
        scores: (N,), higher where the finding is likelier.
        truths: (N,), whether it is there.
        weights: (R, N), as for `auroc`.

    Returns:
        (R,) in [0, 1]; NaN where no image with it, or none without it, counts.

    Raises:
        ValueError: If a score is no number.
    """
    positives, negatives = _levels(scores, truths, weights)
    found = np.cumsum(positives, axis=1)
    precisions = _share(found, found + np.cumsum(negatives, axis=1))
    # Before the first image that counts there is no precision, and nothing to average it over.
    summed = np.where(positives > 0, positives * precisions, 0.0).sum(axis=1)
    there = np.where(negatives.sum(axis=1) > 0, positives.sum(axis=1), 0.0)
    return _share(summed, there)


def _levels(
    scores: npt.NDArray[np.floating], truths: npt.NDArray[np.bool_], weights: npt.NDArray[np.number]
) -> _Levels:
    assert scores.shape == truths.shape == weights.shape[1:], (scores.shape, truths.shape)
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{np.count_nonzero(~np.isfinite(scores))} of {len(scores)} scores are no numbers: "
            "train the classifier anew"
        )
    order = np.argsort(-scores, kind="stable")
    ordered, there = scores[order], truths[order]
    first = np.flatnonzero(np.diff(ordered, prepend=np.inf))
    sorted_weights = np.asarray(weights, dtype=np.float64)[:, order]
    return _Levels(
        np.add.reduceat(sorted_weights * there, first, axis=1),
        np.add.reduceat(sorted_weights * ~there, first, axis=1),
    )


def _share(
    part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Divide; NaN by nothing."""
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
