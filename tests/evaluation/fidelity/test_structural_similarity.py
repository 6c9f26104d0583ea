import numpy as np
import pytest
from tests.evaluation.fidelity.planted import half_collapsed

from cxr_pipeline.evaluation.fidelity.structural_similarity import (
    BETAS,
    random_pairs,
    scales,
    similarities,
    similarity_estimate,
)
from cxr_pipeline.evaluation.resampling import multiplicities


def grain(count=40, size=32):
    return np.random.default_rng(0).integers(0, 256, (count, size, size), dtype=np.uint8)


def estimate(pixels, groups=None):
    groups = np.arange(len(pixels)) if groups is None else groups
    return similarity_estimate(pixels, groups, multiplicities(groups, 50, 0), seed=0)


@pytest.mark.parametrize(
    ("size", "count"),
    [
        (11, 1),
        (21, 1),
        (22, 2),
        (43, 2),
        (44, 3),
        (64, 3),
        (98, 3),
        (99, 4),
        (128, 4),
        (175, 4),
        (176, 5),
        (512, 5),
    ],
)
def test_small_images_are_compared_at_fewer_scales(size, count):
    betas = scales(size)
    assert len(betas) == count
    assert sum(betas) == pytest.approx(1)
    assert betas[-1] / betas[0] == pytest.approx(BETAS[count - 1] / BETAS[0])
    pair = grain(2, size)
    assert 0 <= similarities(pair, np.array([0]), np.array([1]))[0] < 0.9


def test_images_too_small_for_a_window_are_refused():
    with pytest.raises(ValueError, match="images of 10 px"):
        scales(10)


def test_an_image_is_like_itself():
    places = np.arange(3)
    assert similarities(grain(3), places, places) == pytest.approx(1, abs=1e-5)


def test_every_image_is_paired_with_two_others():
    first, second = random_pairs(np.arange(30), seed=0)
    assert np.bincount(np.concatenate([first, second])).tolist() == [4] * 30
    assert (first != second).all()
    assert not np.array_equal(first, random_pairs(np.arange(30), seed=1)[0])


def test_no_pair_is_of_one_patient():
    groups = np.repeat(np.arange(6), 5)
    first, second = random_pairs(groups, seed=0)
    assert len(first) > 20
    assert (groups[first] != groups[second]).all()


def test_a_half_collapsed_set_is_a_quarter_alike():
    pixels = grain(200)
    varied, collapsed = estimate(pixels), estimate(half_collapsed(pixels))
    assert collapsed.value == pytest.approx(varied.value + (1 - varied.value) / 4, abs=0.06)
    assert collapsed.low > varied.high
    assert varied.low < varied.value < varied.high


def test_images_of_one_patient_alone_cannot_be_paired():
    with pytest.raises(ValueError, match="no two images of different patients"):
        estimate(grain(4), np.zeros(4, dtype=np.int64))


def test_batches_do_not_change_it():
    pixels, places = grain(20), np.arange(20)
    whole = similarities(pixels, places, places[::-1], batch=20)
    np.testing.assert_allclose(similarities(pixels, places, places[::-1], batch=7), whole, 1e-5)
