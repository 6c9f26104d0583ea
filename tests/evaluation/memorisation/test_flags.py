import numpy as np
import pytest

from cxr_pipeline.evaluation.memorisation.flags import (
    Nearness,
    closer_in_first,
    copies_in_any,
    crossed,
    floor_share,
    judged_share,
    limits,
    nearness,
)
from cxr_pipeline.evaluation.memorisation.neighbours import Neighbours


def near(distances, ratios=None):
    values = np.asarray(distances, dtype=np.float64)
    return Nearness(values, values if ratios is None else np.asarray(ratios, dtype=np.float64))


def test_a_ratio_tells_the_nearest_from_the_next_ones():
    distances = np.array([[1, 2, 6], [3, 3, 3], [0, 0, 0]], dtype=np.float32)
    found = nearness(Neighbours(distances, np.zeros((3, 3), np.int64)))
    assert found.distances.tolist() == [1, 3, 0]
    # A copy of what is there several times is as near to all of them.
    assert found.ratios.tolist() == [0.25, 1, 0]


@pytest.mark.parametrize(("count", "limit"), [(20, 0), (98, 0), (199, 1)])
def test_one_more_held_out_image_in_a_hundred_would_be_below_the_limit(count, limit):
    assert limits(near(np.arange(count))).distance == pytest.approx(limit)


def test_a_copy_is_both_nearer_and_alone_in_being_near():
    real = near(np.linspace(1, 2, 99), np.linspace(0.5, 1, 99))
    samples = near([0.5, 0.5, 1.5, 1.5], [0.1, 0.9, 0.1, 0.9])
    assert copies_in_any([samples], [real]).tolist() == [True, False, False, False]
    assert closer_in_first([samples], [real]).tolist() == [True, True, False, False]


def test_one_space_is_enough_for_a_copy():
    real = near(np.linspace(1, 2, 99))
    assert copies_in_any([near([0.5, 1.5]), near([1.5, 0.5])], [real, real]).all()


def test_a_share_knows_that_the_limit_is_uncertain_too():
    rng = np.random.default_rng(0)
    real, samples = near(rng.normal(size=60)), near(rng.normal(size=50_000) - 1)
    arguments = {"replicates": 100, "seed": 0}
    groups = np.arange(60)
    share = judged_share(closer_in_first, [samples], [real], groups, **arguments)
    assert share.low < share.value < share.high
    # Of so many samples, counting alone would be sure to within a percent.
    assert share.high - share.low > 0.03


def test_images_of_one_patient_say_less_than_those_of_many():
    rng = np.random.default_rng(1)
    real = near(np.repeat(rng.normal(size=40), 10))
    samples = near(rng.normal(size=5000))
    widths = []
    for groups in (np.arange(400), np.repeat(np.arange(40), 10)):
        share = judged_share(closer_in_first, [samples], [real], groups, replicates=100, seed=0)
        widths.append(share.high - share.low)
    assert widths[1] > widths[0]


def test_held_out_images_are_judged_by_other_patients():
    # Each patient's images lie alike: judged by its own, none would be near.
    groups = np.repeat(np.arange(40), 10)
    values = np.repeat(np.random.default_rng(0).normal(size=40), 10)
    judged = crossed(closer_in_first, [near(values)], groups, seed=3)
    first_of_each = judged.reshape(40, 10)
    assert (first_of_each.all(axis=1) | ~first_of_each.any(axis=1)).all()
    assert judged.any()


def test_the_floor_of_many_held_out_images_is_one_percent():
    values = near(np.random.default_rng(0).normal(size=4000))
    share = floor_share(closer_in_first, [values], np.arange(4000), replicates=20, seed=0)
    assert share.value == pytest.approx(0.01, abs=0.002)
    assert share.low <= share.value <= share.high
