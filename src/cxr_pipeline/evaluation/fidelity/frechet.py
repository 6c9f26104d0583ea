"""The Frechet distance between two sets of features.

Of Gaussians with the sets' means and covariances (Heusel et al. 2017, equation 6):

    |mu_1 - mu_2|^2 + Tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))
"""

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from cxr_pipeline.evaluation.fidelity.estimate import Floats, Weights, above_zero
from cxr_pipeline.evaluation.fidelity.given_features import GivenFeatures
from cxr_pipeline.evaluation.fidelity.progress_lines import progress_lines
from cxr_pipeline.evaluation.measured import CannotMeasureError
from cxr_pipeline.evaluation.resampling import Estimate


def frechet_estimate(
    reference: Floats, features: Floats, reference_weights: Weights, weights: Weights
) -> Estimate:
    """Measure a set's distance to the reference, with its interval.

    Args:
        reference: (N, F) features of real images.
        features: (M, F) features of the set.
        reference_weights: (R, N), how often each is in each bootstrap sample.
        weights: (R, M), likewise.

    Raises:
        CannotMeasureError: Fewer than two images on a side.
    """
    value = frechet_distance(reference, features)
    draws = np.empty(len(weights))
    report = progress_lines("Frechet distance's bootstrap samples", len(draws))
    for number, drawn in enumerate(zip(reference_weights, weights, strict=True)):
        draws[number] = weighted_frechet_distance(reference, features, *drawn)
        report(number + 1)
    return above_zero(value, draws)


def frechet_distance(reference: Floats, features: Floats) -> float:
    """Compute the distance with torchmetrics, in float64.

    Args:
        reference: (N, F).
        features: (M, F).

    Raises:
        CannotMeasureError: Fewer than two images on a side.
    """
    fewest = min(len(reference), len(features))
    if fewest < 2:
        raise CannotMeasureError(
            f"{fewest} image to compare: a covariance needs two, draw more samples"
        )
    metric = FrechetInceptionDistance(feature=GivenFeatures(reference.shape[1]))
    metric.update(torch.from_numpy(reference.astype(np.float64)), real=True)
    metric.update(torch.from_numpy(features.astype(np.float64)), real=False)
    return float(metric.compute())


def weighted_frechet_distance(
    reference: Floats,
    features: Floats,
    reference_weights: Weights,
    weights: Weights,
) -> float:
    """Compute the distance between sets in which each image stands so many times.

    The trace of the root is a sum of singular values: with S = A^T A and T = B^T B, S T has the
    eigenvalues of (A B^T)(A B^T)^T, the squares of A B^T's singular values. That takes no root of a
    covariance, which of few images is singular, and is as small as images or features are few.

    Args:
        reference: (N, F).
        features: (M, F).
        reference_weights: (N,), not negative, more than 1 in all.
        weights: (M,), likewise.
    """
    first_mean, first = _mean_and_root(reference, reference_weights)
    second_mean, second = _mean_and_root(features, weights)
    means = np.square(first_mean - second_mean).sum()
    spreads = np.square(first).sum() + np.square(second).sum()
    return float(means + spreads - 2 * np.linalg.norm(first @ second.T, "nuc"))


def _mean_and_root(
    features: Floats, weights: Weights
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The mean, and A with A^T A the covariance, of no more rows than columns."""
    drawn = weights > 0
    rows, times = features[drawn].astype(np.float64), weights[drawn]
    total = times.sum()
    mean = times @ rows / total
    root = np.sqrt(times / (total - 1))[:, None] * (rows - mean)
    if root.shape[0] > root.shape[1]:
        root = np.linalg.qr(root, mode="r")
    return mean, root
