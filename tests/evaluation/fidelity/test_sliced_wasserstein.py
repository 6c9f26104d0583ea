import numpy as np
import pytest
import scipy.stats
from tests.evaluation.fidelity.planted import blurred

from cxr_pipeline.evaluation.fidelity.sliced_wasserstein import (
    PATCHES,
    SIDE,
    distance,
    distances_of_draws,
    patches,
    wasserstein_estimate,
)
from cxr_pipeline.evaluation.resampling import multiplicities


def grain(seed, count=20, size=32):
    grey = np.random.default_rng(seed).normal(128, 30, (count, size, size))
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def apart(reference, pixels, seed=0):
    draws = [multiplicities(np.arange(len(reference)), 30, draw) for draw in (1, 2)]
    return wasserstein_estimate(reference, pixels, *draws, seed=seed)


def numbers(seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (40, 25)).astype(np.float32)


def test_a_second_implementation_agrees():
    one, other = numbers(0), numbers(1, 0.7)
    expected = scipy.stats.wasserstein_distance(one.ravel(), other.ravel())
    assert distance(one, other) == pytest.approx(expected, rel=1e-6)


def test_the_distance_of_each_draw_is_about_that_of_the_images_drawn():
    one, other = numbers(0), numbers(1, 0.7)
    drawn = [multiplicities(np.arange(40), 8, seed) for seed in (2, 3)]
    shares = [(draw / (25 * draw.sum(axis=1, keepdims=True))).astype(np.float32) for draw in drawn]
    expected = [
        scipy.stats.wasserstein_distance(
            one.ravel(), other.ravel(), np.repeat(first, 25), np.repeat(second, 25)
        )
        for first, second in zip(*drawn, strict=True)
    ]
    found = distances_of_draws(one, other, *shares)
    # The curves are compared at 129 places: between the last two of these is a fortieth of it all.
    assert found == pytest.approx(expected, rel=0.03)
    assert found - found.mean() == pytest.approx(expected - np.mean(expected), abs=0.01)


def test_identical_sets_are_not_apart_and_a_blur_is_far():
    reference = grain(0)
    same, other = apart(reference, reference), apart(reference, grain(1))
    assert same.value == 0
    assert other.low <= other.value <= other.high
    assert apart(reference, blurred(grain(1))).low > 3 * other.high


def test_brighter_images_differ_where_grey_levels_are_compared():
    reference = np.minimum(grain(0), 235)
    fine, coarse = patches(reference, seed=0)
    brighter = reference + np.uint8(20)
    fine_too, coarse_too = patches(brighter, seed=0)
    np.testing.assert_allclose(fine_too, fine, atol=1e-3)
    np.testing.assert_allclose(coarse_too, coarse + 20, rtol=1e-5)
    # On a random direction a shift of all 49 pixels counts sqrt(2 / pi) times; two levels.
    expected = 20 / coarse.std() * np.sqrt(2 / np.pi) / 2
    assert apart(reference, brighter).value == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(("size", "levels"), [(7, 1), (31, 2), (32, 2), (33, 2), (64, 3), (128, 4)])
def test_levels_halve_down_to_sixteen_pixels(size, levels):
    cut = list(patches(grain(0, 2, size), seed=0))
    assert [part.shape for part in cut] == [(2, PATCHES, SIDE**2)] * levels


def test_patches_are_cut_at_the_same_places_of_every_set():
    whole = list(patches(grain(0), seed=0))
    for part, all_of_them in zip(patches(grain(0)[:5], seed=0), whole, strict=True):
        np.testing.assert_array_equal(part, all_of_them[:5])
    assert not np.array_equal(whole[0], next(patches(grain(0), seed=1)))


def test_images_smaller_than_a_patch_are_refused():
    with pytest.raises(ValueError, match="images of 6 px"):
        next(patches(grain(0, 2, 6), seed=0))


def test_images_without_contrast_are_compared():
    flat = np.full((4, 32, 32), 100, dtype=np.uint8)
    assert apart(flat, flat).value == 0
    assert apart(flat, flat + np.uint8(5)).value > 0
