from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.data.splits import SPLITS, assign_splits, split_by_patient

PATIENTS = st.lists(st.integers(1, 40_000).map(str), min_size=1, max_size=60)
SEEDS = st.integers(0, 1000)


def split(patients, *, validation=0.2, test=0.3, seed=0):
    return split_by_patient(
        pd.Series(patients, dtype=str), validation=validation, test=test, seed=seed
    )


def labels_of(patients, splits=None):
    """A label table of one image for each entry; an entry may come again."""
    names = [f"{number}_{patient}.png" for number, patient in enumerate(patients)]
    table = pd.DataFrame({"image": names, "patient": patients}, dtype=str)
    return table if splits is None else table.assign(split=pd.Series(splits, dtype=str))


def write_lists(folder, *, train="", test=""):
    (folder / "train_val_list.txt").write_text(train)
    (folder / "test_list.txt").write_text(test)


def assigned(labels, raw_dir, source="auto", *, validation=0.2, test=0.3, seed=0):
    shares = {"validation": validation, "test": test}
    table = assign_splits(labels, raw_dir, source=source, seed=seed, **shares)
    return table["split"].tolist()


# -- by patient ----------------------------------------------------------------------------------


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


def test_labels_without_a_split_of_their_own_are_split_by_patient(tmp_path):
    labels = labels_of(range(50))
    expected = split(range(50)).tolist()
    for source in ("auto", "patient"):
        assert assigned(labels, tmp_path, source) == expected
    assert len(set(expected)) == 3


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


# -- NIH's lists ---------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=50)
@given(data=st.data(), seed=SEEDS)
def test_nihs_lists_decide_the_test_patients_and_the_hash_the_validation_patients(
    tmp_path_factory, data, seed
):
    patients = data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=40), label="patients")
    tested = data.draw(st.sets(st.sampled_from(patients)), label="test patients")
    labels = labels_of(patients)
    held_out = labels["patient"].isin({str(patient) for patient in tested})
    folder = tmp_path_factory.mktemp("lists")
    train, test = labels["image"][~held_out], labels["image"][held_out]
    write_lists(folder, train="\r\n".join(train), test="\n".join([*test, "", "not_ours.png"]))
    splits = assigned(labels, folder, "nih", seed=seed)
    hashed = split(patients, test=0, seed=seed).tolist()
    assert splits == ["test" if out else mine for out, mine in zip(held_out, hashed, strict=True)]


@settings(deadline=None, derandomize=True, max_examples=50)
@given(patients=PATIENTS, others=PATIENTS, seed=SEEDS)
def test_patients_who_join_nihs_training_list_move_nobody(tmp_path_factory, patients, others, seed):
    labels = labels_of(patients + others)
    before = labels.head(len(patients))
    folder = tmp_path_factory.mktemp("lists")
    write_lists(folder, train="\n".join(before["image"]))
    splits = assigned(before, folder, "nih", seed=seed)
    write_lists(folder, train="\n".join(labels["image"]))
    assert assigned(labels, folder, "nih", seed=seed)[: len(patients)] == splits


def test_nihs_lists_keep_their_training_patients_in_the_share_asked(tmp_path):
    labels = labels_of(range(20_000))
    listed = labels["image"]
    write_lists(tmp_path, train="\n".join(listed[4000:]), test="\n".join(listed[:4000]))
    counts = Counter(assigned(labels, tmp_path, "nih", validation=0.25))
    assert counts["test"] == 4000
    # Three standard deviations of a quarter of 16,000 patients are under 170.
    assert counts["validation"] == pytest.approx(4000, abs=170)


def test_lists_lie_beside_a_label_file_that_is_named_itself(tmp_path):
    write_lists(tmp_path, train="0_7.png", test="\ufeff1_8.png")
    file = tmp_path / "mine.csv"
    file.touch()
    assert assigned(labels_of([7, 8]), file, "nih", validation=0) == ["train", "test"]


def test_names_in_the_lists_may_hold_spaces(tmp_path):
    write_lists(tmp_path, train=" a 1.png \n", test="a 2.png")
    labels = labels_of([7, 8]).assign(image=["a 1.png", "a 2.png"])
    assert assigned(labels, tmp_path, "nih", validation=0) == ["train", "test"]


def test_a_patient_in_both_lists_is_named(tmp_path, one_line_error):
    write_lists(tmp_path, train="0_13.png\n2_9.png", test="1_13.png\n3_9.png")
    message = one_line_error(assigned, labels_of([13, 13, 9, 9]), tmp_path, "nih", validation=0)
    assert "patient '13' is in train ('0_13.png') and test ('1_13.png')" in message
    assert "(and 1 more such patients)" in message
    assert "labels.splits=patient" in message


def test_an_image_in_both_lists_is_named(tmp_path, one_line_error):
    write_lists(tmp_path, train="0_1.png\n1_2.png", test="1_2.png")
    message = one_line_error(assigned, labels_of([1, 2]), tmp_path, "nih")
    assert "image '1_2.png' is in train_val_list.txt and in test_list.txt" in message


def test_images_in_neither_list_are_counted_and_the_first_is_named(tmp_path, one_line_error):
    write_lists(tmp_path, train="0_1.png", test="x.png")
    message = one_line_error(assigned, labels_of([1, 2, 3]), tmp_path, "nih")
    assert "NIH's lists lack 2 of 3 images, the first '1_2.png'" in message


@pytest.mark.parametrize("absent", ["train_val_list.txt", "test_list.txt"])
def test_an_absent_list_is_named_with_what_to_do(tmp_path, one_line_error, absent):
    write_lists(tmp_path, train="0_1.png")
    (tmp_path / absent).unlink()
    message = one_line_error(assigned, labels_of([1]), tmp_path, "nih")
    assert f"'{tmp_path / absent}' is not to be read (FileNotFoundError)" in message
    assert "put NIH's train_val_list.txt and test_list.txt beside the label file" in message


def test_a_list_that_is_no_text_is_named(tmp_path, one_line_error):
    write_lists(tmp_path, train="0_1.png")
    (tmp_path / "test_list.txt").write_bytes(b"\xff\xfe")
    assert "UnicodeDecodeError" in one_line_error(assigned, labels_of([1]), tmp_path, "nih")


# -- the labels' own -----------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=50)
@given(own=st.lists(st.sampled_from(SPLITS), min_size=1, max_size=30))
def test_the_labels_own_splits_are_kept_unless_others_are_asked_for(own):
    labels = labels_of(range(len(own)), own)
    for source in ("auto", "cxr_lt"):
        assert assigned(labels, "", source) == own
    assert assigned(labels, "", "patient") == split(range(len(own))).tolist()


def test_the_split_is_one_column_the_last(tmp_path):
    labels = labels_of([1, 2], ["test", "train"])[["split", "image", "patient"]]
    table = assign_splits(labels, tmp_path, source="auto", validation=0, test=0, seed=0)
    assert list(table.columns) == ["image", "patient", "split"]


def test_a_patient_in_two_of_the_labels_own_splits_is_named(tmp_path, one_line_error):
    labels = labels_of([7, 5, 5, 5, 7], ["train", "validation", "test", "test", "train"])
    for source in ("auto", "cxr_lt"):
        message = one_line_error(assigned, labels, tmp_path, source)
        assert "patient '5' is in validation ('1_5.png') and test ('2_5.png'): " in message


def test_files_of_cxr_lt_that_share_a_patient_in_two_spellings_are_refused(
    tmp_path, lt_row, write_lt, one_line_error
):
    write_lt(tmp_path, "train", [lt_row("a.png", patient="13")])
    write_lt(tmp_path, "test", [lt_row("b.png", patient="00000013")])
    message = one_line_error(assigned, read_labels(tmp_path), tmp_path)
    assert "patient '13' is in test ('b.png') and train ('a.png')" in message


@pytest.mark.parametrize("own", [None, ["train", None]])
def test_labels_that_do_not_say_their_split_are_named_where_it_is_asked_for(
    tmp_path, one_line_error, own
):
    message = one_line_error(assigned, labels_of([1, 2], own), tmp_path, "cxr_lt")
    image = "1_2.png" if own else "0_1.png"
    assert f"labels.splits=cxr_lt: the labels do not say the split of image '{image}'" in message
    assert "_train.csv, _val.csv and _test.csv" in message


def test_labels_that_say_only_some_of_their_splits_are_not_split_by_patient_in_silence(
    tmp_path, one_line_error
):
    labels = labels_of([1, 2], ["test", None])
    assert "the split of image '1_2.png'" in one_line_error(assigned, labels, tmp_path, "auto")
    assert set(assigned(labels, tmp_path, "patient", validation=0, test=0)) == {"train"}


def test_the_real_splits_of_cxr_lt_are_kept(shared_data):
    labels = read_labels(shared_data / "cxr_lt")
    splits = assigned(labels, shared_data / "cxr_lt")
    assert Counter(splits) == {"validation": 12_533, "test": 21_081}
    by_patient = assigned(labels, shared_data / "cxr_lt", "patient")
    assert set(by_patient) == set(SPLITS)
