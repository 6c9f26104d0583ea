import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.evaluation.fidelity.frechet import (
    frechet_distance,
    frechet_estimate,
    weighted_frechet_distance,
)
from cxr_pipeline.evaluation.resampling import multiplicities


def gaussian(seed, count, dimensions, *, spread=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    return (spread * rng.normal(size=(count, dimensions)) + shift).astype(np.float32)


def exactly(count, mean, deviations, seed=0):
    """Features with exactly this mean and this diagonal covariance."""
    rows = np.random.default_rng(seed).normal(size=(count, len(mean)))
    rows -= rows.mean(axis=0)
    left, _, right = np.linalg.svd(rows, full_matrices=False)
    return left @ right * np.sqrt(count - 1) * deviations + mean


def own(reference, features):
    ones = np.ones(len(reference)), np.ones(len(features))
    return weighted_frechet_distance(reference, features, *ones)


BOTH = pytest.mark.parametrize("distance", [frechet_distance, own])
SIZES = pytest.mark.parametrize(("count", "dimensions"), [(200, 8), (30, 64), (64, 64)])


@BOTH
def test_it_is_that_of_gaussians(distance):
    first = exactly(50, np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0]))
    second = exactly(60, np.array([1.0, 1.0, 0.0]), np.array([2.0, 2.0, 1.0]), seed=1)
    # The means are 1 and 2 apart, the deviations 1 and 2.
    assert distance(first, second) == pytest.approx(1 + 4 + 1 + 4, rel=1e-9)


@SIZES
def test_a_second_implementation_agrees(count, dimensions):
    first, second = gaussian(0, count, dimensions), gaussian(1, count, dimensions, spread=2)
    covariances = [np.cov(rows.astype(np.float64), rowvar=False) for rows in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    means = [rows.mean(axis=0, dtype=np.float64) for rows in (first, second)]
    expected = np.square(means[0] - means[1]).sum()
    expected += np.trace(covariances[0] + covariances[1] - 2 * np.real(root))
    # A root of a covariance of few images is known to half the digits.
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-5)
    assert own(first, second) == pytest.approx(expected, rel=1e-5)


@SIZES
def test_ours_is_torchmetrics(count, dimensions):
    first, second = gaussian(0, count, dimensions), gaussian(1, count, dimensions, shift=0.5)
    assert own(first, second) == pytest.approx(frechet_distance(first, second), rel=1e-5)


@BOTH
@SIZES
def test_identical_sets_are_not_apart(distance, count, dimensions):
    rows = gaussian(0, count, dimensions)
    assert distance(rows, rows) == pytest.approx(0, abs=1e-5)


def test_a_weight_is_how_often_an_image_stands_there():
    first, second = gaussian(0, 40, 6), gaussian(1, 30, 6)
    times = np.random.default_rng(2).integers(0, 4, 40)
    repeated = frechet_distance(np.repeat(first, times, axis=0), second)
    weighted = weighted_frechet_distance(first, second, times.astype(np.float64), np.ones(30))
    assert weighted == pytest.approx(repeated, rel=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 40), st.integers(2, 40), st.integers(1, 20))
def test_it_is_symmetric_and_not_negative(seed, count, other, dimensions):
    first, second = gaussian(seed, count, dimensions), gaussian(seed + 1, other, dimensions)
    assert own(first, second) == pytest.approx(own(second, first), rel=1e-9, abs=1e-9)
    assert own(first, second) >= -1e-9


@settings(max_examples=20)
@given(st.integers(0, 1000), st.lists(st.floats(-10, 10), min_size=4, max_size=4))
def test_a_shift_raises_it_by_its_square(seed, shift):
    first = gaussian(seed, 30, 4).astype(np.float64)
    assert own(first, first + shift) == pytest.approx(np.square(shift).sum(), rel=1e-7, abs=1e-7)


def estimate(count, *, shift):
    first, second = gaussian(0, count, 4), gaussian(1, count, 4, shift=shift)
    draws = [multiplicities(np.arange(count), 60, seed) for seed in (2, 3)]
    return frechet_estimate(first, second, *draws)


def test_the_interval_holds_the_distance_and_narrows_with_more_images():
    few, many = estimate(50, shift=1.0), estimate(800, shift=1.0)
    assert few.low < 4 < few.high
    assert many.low < 4 < many.high
    assert many.high - many.low < (few.high - few.low) / 2


def test_the_interval_tells_a_difference_from_none():
    assert estimate(400, shift=0.3).low > estimate(400, shift=0.0).high


def test_one_image_is_too_few():
    with pytest.raises(ValueError, match="1 image to compare"):
        frechet_distance(gaussian(0, 1, 4), gaussian(1, 9, 4))
