import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.stores import refusal

from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.findings import FINDINGS, NO_FINDING
from cxr_pipeline.data.selection import Selection
from cxr_pipeline.data.store import DUPLICATES, INDEX, MANIFEST, QUARANTINE, open_store, shard_name
from cxr_pipeline.data.transforms import Transform

SPLITS = ["train", "validation", "test"]


@pytest.fixture(scope="module")
def store(tmp_path_factory, make_data_set, plan):
    """Forty images of twenty patients in three shards of 16, 16 and 8."""
    folder = tmp_path_factory.mktemp("store")
    raw = make_data_set(folder / "raw", count=40)
    planned = plan(raw, how=Transform(12, equalise=True), shard_size=16)
    return build_store(planned, folder / "stores")


@pytest.fixture
def copy(store, tmp_path):
    return shutil.copytree(store.folder, tmp_path / store.version)


# -- reading -------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True)
@given(positions=st.lists(st.integers(0, 39), max_size=60))
def test_images_are_read_in_any_order_and_as_often_as_asked(store, positions):
    shards = [np.load(store.folder / shard_name(number)) for number in range(3)]
    everything = np.concatenate(shards)
    chosen = np.array(positions, dtype=np.int64)
    read = store.read(chosen)
    assert read.shape == (len(positions), 12, 12)
    assert np.array_equal(read, everything[chosen])


def test_shards_are_plain_arrays_of_the_planned_size(store):
    shapes = [np.load(store.folder / shard_name(n), mmap_mode="r").shape for n in range(3)]
    assert shapes == [(16, 12, 12), (16, 12, 12), (8, 12, 12)]
    assert len(np.unique(store.read(np.arange(40)), axis=0)) == 40


def test_the_index_says_where_each_image_lies(store):
    places = store.index[["shard", "row"]].to_numpy().tolist()
    assert places == [[number // 16, number % 16] for number in range(40)]


# -- choosing ------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True)
@given(split=st.sampled_from(SPLITS), findings=st.sets(st.sampled_from([*FINDINGS, NO_FINDING])))
def test_rows_are_those_of_the_split_with_one_of_the_findings(store, split, findings):
    expected = [
        position
        for position, (its_split, text) in enumerate(
            zip(store.index["split"], store.index["findings"], strict=True)
        )
        if its_split == split and (not findings or findings & set(text.split("|")))
    ]
    selection = Selection(findings=tuple(findings))
    if expected:
        assert store.rows(split=split, selection=selection).tolist() == expected
    else:
        message = refusal(store.rows, split=split, selection=selection)
        assert f"the {split} split holds no image with" in message


def test_the_splits_share_out_every_image(store):
    parts = [store.rows(split=split) for split in SPLITS]
    assert all(len(part) for part in parts)
    assert sorted(np.concatenate(parts).tolist()) == list(range(40))


def test_one_image_a_patient_is_the_first_of_each_in_the_split(store):
    rows = store.rows(split="train", selection=Selection(one_image_a_patient=True))
    patients = store.index["patient"]
    assert patients.iloc[rows].is_unique
    assert set(patients.iloc[rows]) == set(patients.iloc[store.rows(split="train")])


def test_a_choice_that_leaves_no_image_is_named(store):
    asked = Selection(findings=("Hernia", "Edema"), views=("PA",))
    message = refusal(store.rows, split="train", selection=asked)
    there = len(store.rows(split="train"))
    assert (
        "the train split holds no image with findings=Hernia|Edema, views=PA "
        f"(of {there} there, 40 in the store)"
    ) in message
    assert "the holdout split holds no image (of 0 there, 40" in refusal(
        store.rows, split="holdout"
    )


# -- opening -------------------------------------------------------------------------------------


def test_a_store_opened_anew_is_the_store_that_was_built(store):
    again = open_store(store.folder)
    assert (again.version, again.digest, again.size) == (store.version, store.digest, 12)
    assert len(again) == 40
    assert again.index.equals(store.index)
    assert again.classes == (*FINDINGS, NO_FINDING)
    assert again.quarantine().empty
    assert list(again.quarantine().columns) == ["image", "reason"]
    assert again.duplicates().empty
    assert list(again.duplicates().columns) == ["picture", "image", "patient", "split"]


def test_a_store_may_be_moved(store, copy):
    moved = open_store(copy)
    everything = np.arange(40)
    assert np.array_equal(moved.read(everything), store.read(everything))


def test_names_that_look_like_no_value_stay_names(copy):
    table = pd.DataFrame({"image": ["NA", "nan"], "reason": ["missing file", "empty file"]})
    table.to_csv(copy / QUARANTINE, index=False)
    assert open_store(copy).quarantine()["image"].tolist() == ["NA", "nan"]


@pytest.mark.parametrize("name", [shard_name(0), shard_name(2)], ids=["first shard", "last shard"])
@pytest.mark.parametrize("kind", ["cut", "longer", "absent"])
def test_a_damaged_shard_is_refused_by_name(copy, name, kind):
    path = copy / name
    data = path.read_bytes()
    if kind == "absent":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if kind == "cut" else data + b"\0")
    message = refusal(open_store, copy)
    assert f"image store '{copy}': {name} is damaged" in message
    assert "kedro run --pipeline=preprocessing" in message


@pytest.mark.parametrize("name", [QUARANTINE, DUPLICATES])
def test_a_lost_table_is_refused_by_name(copy, name):
    (copy / name).unlink()
    assert f"{name} is damaged" in refusal(open_store, copy)


def test_another_index_than_the_store_s_is_refused(copy):
    index = pd.read_parquet(copy / INDEX)
    index.iloc[::-1].to_parquet(copy / INDEX, index=False)
    assert f"{INDEX} is damaged" in refusal(open_store, copy)


@pytest.mark.parametrize("name", [INDEX, MANIFEST])
@pytest.mark.parametrize("length", [None, 0, 60])
def test_a_store_without_a_whole_index_and_manifest_is_refused(copy, name, length):
    path = copy / name
    data = path.read_bytes()
    path.unlink()
    if length is not None:
        path.write_bytes(data[:length])
    message = refusal(open_store, copy)
    assert f"'{copy}' holds no finished image store" in message
    assert "kedro run --pipeline=preprocessing" in message


@pytest.mark.parametrize("content", [[], {}, {"shards": [{}], "index_sha256": ""}, "text"])
def test_a_manifest_of_another_kind_is_refused(copy, content):
    (copy / MANIFEST).write_text(json.dumps(content))
    assert f"'{copy}' holds no finished image store" in refusal(open_store, copy)


def test_an_absent_store_is_refused(tmp_path):
    assert f"'{tmp_path / 'none'}' holds no finished" in refusal(open_store, tmp_path / "none")
