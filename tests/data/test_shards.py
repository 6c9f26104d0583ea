import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.pictures import encoded, noise
from tests.data.stores import REASONS, age, contents, damage, pad, swap_unseen, transformed, written

from cxr_pipeline.data import shards
from cxr_pipeline.data.shards import LINK, Listed, ShardJob, build_shard, may_be_mended
from cxr_pipeline.data.store import MANIFEST
from cxr_pipeline.data.transforms import Transform

FILES = {"shard_00003.npy", "shard_00003.json"}
NAMES = [f"{number}.png" for number in range(6)]


def make_images(folder):
    folder.mkdir()
    for number, name in enumerate(NAMES):
        (folder / name).write_bytes(encoded(noise(20 + number, 30, number)))
    return folder


@pytest.fixture
def images(tmp_path):
    return make_images(tmp_path / "images")


def shard_job(folder, **changes):
    """Six images into the fourth shard of a store beside them."""
    listed = tuple(Listed(name, str(folder / name)) for name in NAMES)
    job = ShardJob(
        folder=str(folder.parent / "store"),
        number=3,
        images=listed,
        how=Transform(16, equalise=True),
        max_pixels=10_000,
        verify=False,
    )
    return replace(job, **changes)


@pytest.fixture
def job(images):
    return shard_job(images)


@pytest.fixture
def folder(job):
    return Path(job.folder)


def reasons(record):
    return dict(record["quarantine"])


# -- what is made --------------------------------------------------------------------------------


def test_a_shard_and_its_record_are_all_that_is_written(job, folder, images):
    record = build_shard(job)
    assert set(contents(folder)) == FILES
    expected = np.stack([transformed(images / name) for name in NAMES])
    assert np.array_equal(np.load(folder / "shard_00003.npy"), expected)
    assert record.pop("made") is True
    assert json.loads((folder / "shard_00003.json").read_text()) == record
    assert record["images"] == NAMES
    assert list(record["sources"]) == NAMES
    assert len(set(record["pictures"])) == 6


@settings(deadline=None, derandomize=True, max_examples=40)
@given(damaged=st.dictionaries(st.integers(0, 5), st.sampled_from(REASONS)))
def test_each_image_is_kept_in_its_order_or_left_out_with_the_reason(damaged):
    with tempfile.TemporaryDirectory() as place:
        images = make_images(Path(place) / "images")
        kept = {
            name: transformed(images / name)
            for number, name in enumerate(NAMES)
            if number not in damaged
        }
        missing = {number for number, kind in damaged.items() if kind == "missing file"}
        for number in damaged.keys() - missing:
            damage(images / NAMES[number], damaged[number])
        listed = tuple(
            Listed(name, None if number in missing else str(images / name))
            for number, name in enumerate(NAMES)
        )
        record = build_shard(shard_job(images, images=listed))
        pixels = np.load(Path(place) / "store/shard_00003.npy")
    assert reasons(record) == {NAMES[number]: kind for number, kind in damaged.items()}
    assert record["images"] == list(kept)
    assert pixels.shape == (len(kept), 16, 16)
    assert all(map(np.array_equal, pixels, kept.values()))
    assert len(record["pictures"]) == len(kept)
    assert len(record["sources"]) == 6 - len(missing)


def test_what_is_refused_is_not_opened(images):
    listed = (Listed(NAMES[0], str(images / NAMES[0]), refused=LINK),)
    record = build_shard(shard_job(images, images=listed))
    assert reasons(record) == {NAMES[0]: LINK}
    assert record["sources"] == {}


@contextmanager
def nobody():
    """Without root's right to read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read_is_left_out_and_tried_again():
    with tempfile.TemporaryDirectory() as place:
        images = make_images(Path(place) / "images")
        (images.parent / "store").mkdir()
        for path in (images, images.parent, images.parent / "store"):
            path.chmod(0o777)
        (images / NAMES[0]).chmod(0)
        with nobody():
            first = build_shard(shard_job(images))
            again = build_shard(shard_job(images))
        assert reasons(first) == {NAMES[0]: "unreadable file (Permission denied)"}
        assert not again["made"]  # tried again, and no better
        (images / NAMES[0]).chmod(0o644)
        mended = build_shard(shard_job(images))
    assert mended["images"] == NAMES


def test_only_what_the_disk_is_at_fault_for_may_be_mended():
    assert not may_be_mended([*REASONS, LINK, "not a file", "more than 10,000 pixels"])
    assert may_be_mended(["empty file", "unreadable file (Input/output error)"])
    assert not may_be_mended([])


def test_a_shard_of_no_usable_image_is_empty(job, images, folder):
    for path in images.iterdir():
        damage(path, "empty file")
    record = build_shard(job)
    assert record["images"] == []
    assert np.load(folder / "shard_00003.npy").shape == (0, 16, 16)
    assert not build_shard(job)["made"]


# -- what is found made --------------------------------------------------------------------------


def test_a_shard_that_is_there_is_not_made_again(job, folder, images):
    record = build_shard(job)
    age(folder)
    for path in images.iterdir():
        damage(path, "empty file")
    assert build_shard(job) == record | {"made": False}
    assert written(folder) == set()


def spoil(folder, kind):
    shard, record = folder / "shard_00003.npy", folder / "shard_00003.json"
    known = json.loads(record.read_text())
    if kind == "shard absent":
        shard.unlink()
    elif kind == "record absent":
        record.unlink()
    elif kind == "shard cut":
        shard.write_bytes(shard.read_bytes()[:-7])
    elif kind == "byte of the shard flipped":
        data = shard.read_bytes()
        shard.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif kind == "record cut":
        record.write_bytes(record.read_bytes()[:-7])
    elif kind == "record no text":
        record.write_bytes(b"\xff\xfe\xfd")
    elif kind == "record of another kind":
        record.write_text("[1, 2]")
    elif kind == "record of an older kind":
        del known["quarantine"]
        record.write_text(json.dumps(known))
    elif kind == "record without an image":
        known["images"].pop()
        record.write_text(json.dumps(known))


@pytest.mark.parametrize(
    "kind",
    ["shard absent", "record absent", "shard cut", "byte of the shard flipped", "record cut",
     "record no text", "record of another kind", "record of an older kind",
     "record without an image"],
)  # fmt: skip
def test_a_damaged_shard_or_record_is_made_again_in_the_same_bytes(job, folder, kind):
    build_shard(job)
    before = contents(folder)
    spoil(folder, kind)
    assert build_shard(job)["made"]
    assert contents(folder) == before


def test_changed_contents_are_seen_only_where_files_are_verified(job, folder, images):
    pad(images.iterdir())
    build_shard(job)
    before = contents(folder)
    swap_unseen(images / NAMES[0], images / NAMES[1])
    assert not build_shard(job)["made"]
    assert contents(folder) == before
    assert build_shard(replace(job, verify=True))["made"]
    pixels = np.load(folder / "shard_00003.npy")
    assert np.array_equal(pixels[0], transformed(images / NAMES[0]))
    assert not build_shard(replace(job, verify=True))["made"]


def test_a_file_that_came_or_went_is_seen_where_files_are_verified(job, images):
    data = (images / NAMES[0]).read_bytes()
    (images / NAMES[0]).unlink()
    absent = (Listed(NAMES[0], None), *job.images[1:])
    assert build_shard(replace(job, images=absent))["made"]
    (images / NAMES[0]).write_bytes(data)
    assert build_shard(replace(job, verify=True))["images"] == NAMES
    (images / NAMES[0]).unlink()
    assert build_shard(replace(job, verify=True))["images"] == NAMES[1:]


def test_a_store_is_not_finished_while_one_of_its_shards_is_exchanged(job, folder):
    build_shard(job)
    (folder / MANIFEST).write_text("{}")
    build_shard(job)
    assert (folder / MANIFEST).exists()
    (folder / "shard_00003.npy").unlink()
    build_shard(job)
    assert not (folder / MANIFEST).exists()


def test_a_run_that_another_overtook_leaves_its_finished_store_alone(job, folder, monkeypatch):
    decode, nested = shards.decode, []

    def overtaken(data, *, max_pixels):
        if not nested:
            nested.append(1)
            nested.append(build_shard(job))
            (folder / MANIFEST).write_text("{}")
        return decode(data, max_pixels=max_pixels)

    monkeypatch.setattr(shards, "decode", overtaken)
    assert build_shard(job) == nested[1] | {"made": False}
    assert (folder / MANIFEST).exists()
