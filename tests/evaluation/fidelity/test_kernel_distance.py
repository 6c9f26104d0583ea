import itertools

import numpy as np
import pytest
import torch

from cxr_pipeline.evaluation.fidelity.kernel_distance import (
    kernel_distance,
    kernel_draws,
    kernel_estimate,
)
from cxr_pipeline.evaluation.resampling import multiplicities


def features(seed, count, dimensions=5, *, spread=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    return (spread * rng.normal(size=(count, dimensions)) + shift).astype(np.float32)


def plainly(first, second):
    """The distance, pair by pair."""

    def kernel(one, other):
        return (float(one.astype(np.float64) @ other) / len(one) + 1) ** 3

    within = [
        np.mean([kernel(one, other) for one, other in itertools.permutations(rows, 2)])
        for rows in (first, second)
    ]
    return sum(within) - 2 * np.mean([kernel(one, other) for one in first for other in second])


def draws_of(first, second, block=512):
    ones = np.ones((1, len(first))), np.ones((1, len(second)))
    return kernel_draws(first, second, *ones, block=block)[0]


def test_a_second_implementation_agrees():
    first, second = features(0, 12), features(1, 12, shift=0.5)
    expected = plainly(first, second)
    assert kernel_distance(first, second, subset=12, seed=0) == pytest.approx(expected, rel=1e-6)
    assert draws_of(first, second) == pytest.approx(expected, rel=1e-6)


def test_it_is_unbiased_of_gaussians():
    # Of one dimension, x ~ N(a, s^2): E(xy + 1)^3 = E x^3 E y^3 + 3 E x^2 E y^2 + 3 E x E y + 1.
    def moments(mean, deviation):
        return mean, mean**2 + deviation**2, mean**3 + 3 * mean * deviation**2

    def expected_kernel(one, other):
        return one[2] * other[2] + 3 * one[1] * other[1] + 3 * one[0] * other[0] + 1

    one, other = moments(0.0, 1.0), moments(0.5, 0.8)
    expected = expected_kernel(one, one) + expected_kernel(other, other)
    expected -= 2 * expected_kernel(one, other)
    found = [
        kernel_distance(
            features(2 * seed, 40, 1),
            features(2 * seed + 1, 40, 1, spread=0.8, shift=0.5),
            subset=40,
            seed=0,
        )
        for seed in range(400)
    ]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - expected) < 3 * error
    assert error < expected / 5


def test_subsets_average_to_that_of_all_images():
    first, second = features(0, 200), features(1, 200, shift=1.0)
    whole = kernel_distance(first, second, subset=200, seed=0)
    assert kernel_distance(first, second, subset=20, seed=0) == pytest.approx(whole, rel=0.05)


def test_identical_sets_are_no_further_apart_than_two_of_one_kind():
    rows = features(0, 100)
    apart = abs(kernel_distance(rows, features(1, 100), subset=100, seed=0))
    assert kernel_distance(rows, rows, subset=100, seed=0) <= 0 < apart
    assert kernel_distance(rows, features(1, 100, shift=1), subset=100, seed=0) > 10 * apart


def test_blocks_do_not_change_it():
    first, second = features(0, 40), features(1, 30)
    assert draws_of(first, second, block=7) == pytest.approx(draws_of(first, second), rel=1e-12)


def test_an_image_drawn_twice_is_no_pair():
    first, second = features(0, 10), features(1, 10)
    twice = np.ones((1, 10))
    twice[0, 0] = 2
    rows = np.concatenate([first[:1], first])
    # All pairs but that of the repeated image with itself.
    pairs = [(i, j) for i, j in itertools.permutations(range(11), 2) if {i, j} != {0, 1}]
    kernel = (rows.astype(np.float64) @ rows.T / 5 + 1) ** 3
    other = (second.astype(np.float64) @ second.T / 5 + 1) ** 3
    across = (rows.astype(np.float64) @ second.T / 5 + 1) ** 3
    expected = np.mean([kernel[pair] for pair in pairs]) - 2 * across.mean()
    expected += (other.sum() - np.trace(other)) / 90
    found = kernel_draws(first, second, twice, np.ones((1, 10)))
    assert found[0] == pytest.approx(expected, rel=1e-9)


def test_one_image_drawn_again_and_again_is_no_draw():
    lone = np.zeros((1, 10))
    lone[0, 3] = 10
    assert np.isnan(kernel_draws(features(0, 10), features(1, 10), lone, np.ones((1, 10))))


def test_the_interval_tells_a_difference_from_none():
    draws = [multiplicities(np.arange(200), 60, seed) for seed in (2, 3)]
    same, shifted = (
        kernel_estimate(features(0, 200), features(1, 200, shift=shift), *draws, subset=50, seed=0)
        for shift in (0.0, 0.5)
    )
    assert same.low < 0 < same.high
    assert shifted.low > same.high
    assert shifted.low < shifted.value < shifted.high


def test_the_seed_decides_and_torch_s_own_random_numbers_stay():
    first, second = features(0, 60), features(1, 60)
    before = torch.get_rng_state()
    found = [kernel_distance(first, second, subset=10, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1] != found[2]


def test_fewer_images_than_a_subset_are_refused(recwarn):
    with pytest.raises(ValueError, match=r"19 images .* evaluation\.kid_subset=20: lower it"):
        kernel_distance(features(0, 19), features(1, 30), subset=20, seed=0)
    kernel_distance(features(0, 20), features(1, 30), subset=20, seed=0)
    assert not recwarn.list
