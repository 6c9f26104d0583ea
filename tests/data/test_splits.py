import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.data.splits import SPLITS, split_by_patient

PATIENTS = st.lists(st.integers(1, 40_000).map(str), min_size=1, max_size=60)
SEEDS = st.integers(0, 1000)


def split(patients, *, validation=0.2, test=0.3, seed=0):
    return split_by_patient(
        pd.Series(patients, dtype=str), validation=validation, test=test, seed=seed
    )


@settings(deadline=None, derandomize=True)
@given(patients=PATIENTS, seed=SEEDS)
def test_every_image_of_a_patient_falls_in_one_split(patients, seed):
    splits = split(patients * 2, seed=seed)
    assert set(splits) <= set(SPLITS)
    assert splits.groupby(patients * 2).nunique().max() == 1


@settings(deadline=None, derandomize=True)
@given(patients=PATIENTS, others=PATIENTS, seed=SEEDS)
def test_patients_who_join_move_nobody(patients, others, seed):
    before = split(patients, seed=seed).tolist()
    assert split(others + patients, seed=seed).tolist()[len(others) :] == before
    assert split(patients + others, seed=seed).tolist()[: len(patients)] == before


@settings(deadline=None, derandomize=True)
@given(patients=PATIENTS, seed=SEEDS)
def test_a_larger_test_share_keeps_every_test_patient(patients, seed):
    small = split(patients, test=0.2, validation=0, seed=seed) == "test"
    large = split(patients, test=0.6, validation=0, seed=seed) == "test"
    assert (large | ~small).all()


def test_shares_of_patients_come_out_as_asked():
    shares = split(range(20_000), validation=0.1, test=0.25).value_counts(normalize=True)
    # Three standard deviations of a share of 20,000 patients are under 0.01.
    assert shares["validation"] == pytest.approx(0.1, abs=0.01)
    assert shares["test"] == pytest.approx(0.25, abs=0.01)
    assert shares["train"] == pytest.approx(0.65, abs=0.01)


def test_shares_of_zero_hold_nobody_out():
    assert set(split(range(500), validation=0, test=0)) == {"train"}


def test_another_seed_makes_another_partition():
    first, second = split(range(1000), seed=0), split(range(1000), seed=1)
    assert 0.3 < (first != second).mean() < 0.9


def test_the_partition_is_the_one_of_earlier_versions():
    splits = split(range(1, 41), validation=0.2, test=0.2, seed=0)
    held_out = {name: [n + 1 for n in range(40) if splits[n] == name] for name in SPLITS[1:]}
    assert held_out == {
        "validation": [4, 6, 10, 16, 20, 23, 32, 33, 37, 38],
        "test": [14, 15, 17, 26, 34, 35],
    }


def test_the_index_is_kept_and_the_column_is_named():
    patients = pd.Series(["5", "6", "5"], index=[30, 10, 20])
    splits = split_by_patient(patients, validation=0.2, test=0.2, seed=0)
    assert splits.index.tolist() == [30, 10, 20]
    assert splits.name == "split"
    assert splits[30] == splits[20]


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (0.9, 0.2), (-0.1, 0.2), (0.1, -0.2)])
def test_shares_that_leave_nobody_to_train_on_are_named(validation, test):
    with pytest.raises(ValueError, match="leave no patient to train on") as caught:
        split(["1"], validation=validation, test=test)
    assert f"validation={validation} and test={test}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nihs_patients_are_held_out_in_the_shares_asked(shared_data):
    patients = read_labels(shared_data / "Data_Entry_2017_v2020.csv.gz")["patient"]
    splits = split_by_patient(patients, validation=0.1, test=0.1, seed=0)
    a_patient = splits.groupby(patients)
    assert a_patient.nunique().max() == 1
    shares = a_patient.first().value_counts(normalize=True)
    assert shares["validation"] == pytest.approx(0.1, abs=0.01)
    assert shares["test"] == pytest.approx(0.1, abs=0.01)
