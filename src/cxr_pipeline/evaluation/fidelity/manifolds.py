"""Precision, recall, density and coverage: do samples lie among real images, and everywhere there?

A set's manifold is the union of balls round its images' features, each reaching to the k-th nearest
of the others. Precision and recall: Kynkaanniemi et al. 2019, equations 1 and 2; density and
coverage: Naeem et al. 2020, equations 4 and 5.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr_pipeline.evaluation.fidelity.estimate import (
    Floats,
    Weights,
    weighted_mean,
    weighted_share,
)
from cxr_pipeline.evaluation.fidelity.progress_lines import progress_lines
from cxr_pipeline.evaluation.measured import CannotMeasureError
from cxr_pipeline.evaluation.resampling import Estimate

BLOCK = 512
"""Rows of a matrix of distances at a time."""


class Membership(NamedTuple):
    """Who lies on whose manifold; the metrics are the means."""

    precision: npt.NDArray[np.float64]
    """(M,), of each sample: 1 in any real image's ball, 0 in none."""
    density: npt.NDArray[np.float64]
    """(M,), of each sample: in how many real images' balls, over k."""
    recall: npt.NDArray[np.float64]
    """(N,), of each real image: 1 in any sample's ball, 0 in none."""
    coverage: npt.NDArray[np.float64]
    """(N,), of each real image: 1 with a sample in its ball, 0 without."""


def manifold_estimates(
    reference: Floats,
    features: Floats,
    reference_weights: Weights,
    weights: Weights,
    *,
    neighbours: int,
) -> list[Estimate]:
    """Measure all four; intervals are of the images asked about, the manifolds being as they are.

    Args:
        reference: (N, F) features of real images.
        features: (M, F) features of the set.
        reference_weights: (R, N), how often each is in each bootstrap sample.
        weights: (R, M), likewise.
        neighbours: k, which neighbour a ball reaches to.

    Returns:
        Precision, density, recall and coverage.

    Raises:
        CannotMeasureError: No more images than neighbours on a side.
    """
    found = membership(reference, features, neighbours)
    return [
        weighted_share(found.precision, weights),
        weighted_mean(found.density, weights),
        weighted_share(found.recall, reference_weights),
        weighted_share(found.coverage, reference_weights),
    ]


def membership(
    reference: Floats, features: Floats, neighbours: int, block: int = BLOCK
) -> Membership:
    """Look who lies on whose manifold.

    Args:
        reference: (N, F).
        features: (M, F).
        neighbours: k.
        block: Rows of a matrix of distances that are in memory at once.

    Raises:
        CannotMeasureError: No more images than neighbours on a side.
    """
    fewest = min(len(reference), len(features))
    if fewest <= neighbours:
        raise CannotMeasureError(
            f"{fewest} images to compare, no more than evaluation.neighbours={neighbours}: "
            "lower it, or have more images"
        )
    real = torch.from_numpy(reference.astype(np.float64))
    samples = torch.from_numpy(features.astype(np.float64))
    real_radii = _radii(real, neighbours, block)
    sample_radii = _radii(samples, neighbours, block)
    counts = torch.empty(len(samples), dtype=torch.float64)
    recalled = torch.zeros(len(real), dtype=torch.bool)
    covered = torch.zeros(len(real), dtype=torch.bool)
    report = progress_lines("Neighbours of images", len(samples))
    for start in range(0, len(samples), block):
        rows = slice(start, start + block)
        distances = _distances(samples[rows], real)
        inside = distances < real_radii
        counts[rows] = inside.sum(dim=1, dtype=torch.float64)
        covered |= inside.any(dim=0)
        recalled |= (distances < sample_radii[rows, None]).any(dim=0)
        report(min(rows.stop, len(samples)))
    return Membership(
        precision=(counts > 0).double().numpy(),
        density=(counts / neighbours).numpy(),
        recall=recalled.double().numpy(),
        coverage=covered.double().numpy(),
    )


def _radii(features: Tensor, neighbours: int, block: int) -> Tensor:
    """How far each image's k-th nearest neighbour is, itself left out."""
    radii = torch.empty(len(features), dtype=torch.float64)
    report = progress_lines("Neighbours within a set, images", len(features))
    for start in range(0, len(features), block):
        rows = slice(start, start + block)
        distances = _distances(features[rows], features)
        places = torch.arange(len(distances))
        distances[places, places + start] = torch.inf
        radii[rows] = distances.kthvalue(neighbours, dim=1).values
        report(min(rows.stop, len(features)))
    return radii


def _distances(first: Tensor, second: Tensor) -> Tensor:
    # From differences, not from products: exact where images are the same, and the same whatever
    # the block, so that a neighbour exactly a radius away stays outside.
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
