import numpy as np
import pytest

from cxr_pipeline.evaluation.resampling import centred_interval, interval, multiplicities


def test_a_patient_is_drawn_with_all_images():
    groups = np.array([7, 7, 3, 9, 9, 9])
    draws = multiplicities(groups, 50, seed=0)
    assert draws.shape == (50, 6)
    for patient in (7, 3, 9):
        own = draws[:, groups == patient]
        assert (own == own[:, :1]).all()
    # As many patients as there are, each draw.
    assert (draws[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_draws_follow_from_the_seed():
    groups = np.arange(10)
    assert np.array_equal(multiplicities(groups, 5, 1), multiplicities(groups, 5, 1))
    assert not np.array_equal(multiplicities(groups, 5, 1), multiplicities(groups, 5, 2))


def test_the_interval_of_a_mean_is_the_textbook_s():
    values = np.random.default_rng(0).normal(5, 2, size=400)
    weights = multiplicities(np.arange(400), 4000, seed=0)
    low, high = interval(weights @ values / 400)
    error = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.02)


def test_draws_that_are_no_numbers_are_left_out():
    draws = np.array([np.nan, 1.0, 1.0, np.inf])
    assert interval(draws) == (1.0, 1.0)
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_a_centred_interval_keeps_its_width_and_holds_the_value():
    draws = np.random.default_rng(0).normal(10, 1, size=1000)
    low, high = centred_interval(3.0, draws)
    assert low < 3.0 < high
    assert high - low == pytest.approx(np.subtract(*interval(draws)[::-1]))
    assert np.isnan(centred_interval(3.0, np.array([np.nan]))).all()
