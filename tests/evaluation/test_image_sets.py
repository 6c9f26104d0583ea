import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_pipeline.evaluation.image_sets import ImageSet, halves

GROUPS = st.lists(st.integers(0, 9), min_size=1, max_size=40).map(np.array)


@given(GROUPS, st.integers(0, 99))
def test_halves_hold_everyone_once_and_no_patient_twice(groups, seed):
    first, second = halves(groups, seed)
    if len(np.unique(groups)) < 2:
        assert len(first) == len(second) == 0
        return
    assert sorted([*first, *second]) == list(range(len(groups)))
    assert not set(groups[first]) & set(groups[second])
    # One patient more or less, and it is the one with the most images at worst.
    largest = np.unique(groups, return_counts=True)[1].max()
    assert abs(len(first) - len(second)) <= largest


def test_another_seed_parts_patients_otherwise_and_the_same_seed_alike():
    groups = np.arange(40)
    assert np.array_equal(halves(groups, 0)[0], halves(groups, 0)[0])
    assert not np.array_equal(halves(groups, 0)[0], halves(groups, 1)[0])


@pytest.fixture
def images():
    pixels = np.arange(4 * 9, dtype=np.uint8).reshape(4, 3, 3)
    return ImageSet("real", pixels, np.array([0, 0, 1, 2]), ("Mass", "", "Edema", "Hernia"))


def test_what_is_taken_is_told_from_the_whole_and_from_other_parts(images):
    some, others = images.take(np.array([2, 0])), images.take(np.array([0, 2]))
    assert some.labels == ("Edema", "Mass")
    assert some.groups.tolist() == [1, 0]
    assert np.array_equal(some.pixels, images.pixels[[2, 0]])
    part = some.take(np.array([0]))
    facts = [repr(one.facts) for one in (images, some, others, part)]
    assert len(set(facts)) == 4
