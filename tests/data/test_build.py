import csv
import io
import json
import logging
import os
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cxr_pipeline.data import build
from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.decode import decode
from cxr_pipeline.data.labels import findings_text, read_labels
from cxr_pipeline.data.store import MANIFEST, QUARANTINE, open_store
from cxr_pipeline.data.transforms import Transform, transform

LONG_AGO = 1_000_000_000 * 10**9


@pytest.fixture
def raw(tmp_path, make_data_set):
    """Twelve images of six patients."""
    return make_data_set(tmp_path / "raw")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "stores"


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.iterdir())}


def age(folder):
    """Date every file back, so that one written anew shows."""
    for path in folder.iterdir():
        os.utime(path, ns=(LONG_AGO, LONG_AGO))


def written(folder):
    """Files written since `age`."""
    return {name for name, time in times(folder).items() if time != LONG_AGO}


def transformed(path):
    return transform(decode(path.read_bytes(), max_pixels=10_000), Transform(16, equalise=True))


def refusal(action, *arguments):
    with pytest.raises(ValueError, match=r"\S") as caught:
        action(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def damage(path, kind):
    data = path.read_bytes()
    if kind == "missing file":
        path.unlink()
    else:
        broken = {
            "empty file": b"",
            "truncated file": data[: len(data) // 2],
            "not a readable image": b"a note, not a picture",
        }
        path.write_bytes(broken[kind])


REASONS = ["missing file", "empty file", "truncated file", "not a readable image"]


# -- what is kept --------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [".", "images", "images_{:03d}/images"])
def test_every_image_is_kept_with_its_labels_and_pixels(
    tmp_path, root, make_data_set, plan, layout
):
    raw = make_data_set(tmp_path / "raw", layout=layout)
    planned = plan(raw)
    store = build_store(planned, root)
    assert len(store) == 12
    assert store.size == 16
    labels = read_labels(raw)
    expected = labels[["image", "patient", "age", "sex", "view"]].assign(
        split=planned.table["split"], findings=findings_text(labels)
    )
    got = store.index.drop(columns=["shard", "row"])
    pd.testing.assert_frame_equal(got[sorted(got)], expected[sorted(expected)])
    pixels = store.read(np.arange(12))
    for image, picture in zip(store.index["image"], pixels, strict=True):
        (path,) = raw.rglob(image)
        assert np.array_equal(picture, transformed(path))


def test_all_kinds_of_image_files_are_kept(tmp_path, root, row, write_csv, plan):
    raw = tmp_path / "raw"
    levels = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1))
    grey = Image.fromarray(levels)
    images = {
        "grey.png": grey,
        "rgb.png": grey.convert("RGB"),
        "rgba.png": grey.convert("RGBA"),
        "deep.png": Image.fromarray(levels.astype(np.uint16) * 257),
        "photo.jpg": grey,
    }
    write_csv(raw, [row(name) for name in images])
    for name, image in images.items():
        image.save(raw / name, **({"quality": 100} if name.endswith("jpg") else {}))
    store = build_store(plan(raw, size=32, equalise=False), root)
    assert store.index["image"].tolist() == list(images)
    for pixels in store.read(np.arange(4)):
        assert np.array_equal(pixels, levels)
    assert np.abs(store.read(np.array([4])).astype(int) - levels).max() <= 2


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    damaged=st.dictionaries(st.integers(0, 11), st.sampled_from(REASONS), max_size=11),
    shard_size=st.integers(1, 13),
)
def test_kept_and_quarantined_together_are_what_is_listed(make_data_set, plan, damaged, shard_size):
    with tempfile.TemporaryDirectory() as folder:
        raw = make_data_set(Path(folder) / "raw")
        names = read_labels(raw)["image"].tolist()
        for number, kind in damaged.items():
            damage(raw / "images" / names[number], kind)
        planned = plan(raw, shard_size=shard_size, max_quarantined=1)
        store = build_store(planned, Path(folder))
        kept = store.index["image"].tolist()
        assert kept == [name for number, name in enumerate(names) if number not in damaged]
        reasons = dict(store.quarantine().itertuples(index=False))
        assert reasons == {names[number]: kind for number, kind in damaged.items()}
        counts = [store.manifest[key] for key in ("listed", "kept", "quarantined")]
        assert counts == [12, 12 - len(damaged), len(damaged)]
        for name, pixels in zip(kept, store.read(np.arange(len(kept))), strict=True):
            assert np.array_equal(pixels, transformed(raw / "images" / name))
        assert len(store.manifest["shards"]) == -(-12 // shard_size)


def test_a_folder_in_the_place_of_an_image_is_quarantined(raw, root, plan):
    path = raw / "images" / "00000000_000.png"
    path.unlink()
    path.mkdir()
    reasons = dict(build_store(plan(raw), root).quarantine().itertuples(index=False))
    assert reasons == {"00000000_000.png": "unreadable file (Is a directory)"}


def test_images_that_no_row_lists_are_left_out_and_counted_in_the_log(raw, root, plan, caplog):
    shutil.copy(raw / "images" / "00000000_000.png", raw / "images" / "stray.png")
    with caplog.at_level(logging.WARNING):
        store = build_store(plan(raw), root)
    assert f"1 image files in '{raw}' are in no row of the labels" in caplog.text
    assert len(store) == 12
    assert "stray.png" not in set(store.index["image"])


def test_the_manifest_says_what_the_store_was_made_of(raw, root, plan):
    store = build_store(plan(raw), root)
    assert store.folder == root / store.version
    manifest = json.loads((store.folder / MANIFEST).read_text())
    assert manifest == store.manifest
    assert manifest["parameters"] == {
        "size": 16,
        "equalise": True,
        "shard_size": 5,
        "transform_version": 1,
    }
    assert [shard["file"] for shard in manifest["shards"]] == [
        "shard_00000.npy",
        "shard_00001.npy",
        "shard_00002.npy",
    ]
    assert not [path for path in root.rglob("*") if path.name.endswith(".part")]


# -- how many may be left out --------------------------------------------------------------------


def test_as_many_as_allowed_may_be_quarantined_and_the_log_says_so(raw, root, plan, caplog):
    for name, kind in zip(
        ("00000000_000.png", "00000001_000.png", "00000002_000.png"), REASONS[1:], strict=True
    ):
        damage(raw / "images" / name, kind)
    with caplog.at_level(logging.WARNING):
        assert len(build_store(plan(raw, max_quarantined=0.25), root)) == 9
    assert "3 images quarantined" in caplog.text
    assert "1 truncated file" in caplog.text


def test_more_than_allowed_stops_the_build_with_counts_reasons_and_remedy(raw, root, plan):
    for name in ("00000000_000.png", "00000001_000.png", "00000002_000.png"):
        damage(raw / "images" / name, "truncated file")
    planned = plan(raw, max_quarantined=0.24)
    message = refusal(build_store, planned, root)
    assert "3 of 12 images (25.0%) are unusable (3 truncated file)" in message
    assert "more than preprocessing.max_quarantined=0.24 allows" in message
    listed = root / planned.version() / QUARANTINE
    assert f"'{listed}'" in message
    assert set(pd.read_csv(listed)["reason"]) == {"truncated file"}
    assert "no finished image store" in refusal(open_store, root / planned.version())


def test_a_build_that_was_refused_goes_on_when_more_may_be_left_out(raw, root, plan):
    damage(raw / "images" / "00000000_000.png", "empty file")
    refusal(build_store, plan(raw, max_quarantined=0), root)
    (folder,) = root.iterdir()
    age(folder)
    store = build_store(plan(raw, max_quarantined=0.1), root)
    assert store.folder == folder
    assert written(folder) == {MANIFEST, QUARANTINE, "index.parquet"}
    assert len(store) == 11


def test_no_usable_image_stops_the_build_whatever_is_allowed(raw, root, plan):
    for path in (raw / "images").iterdir():
        damage(path, "not a readable image")
    message = refusal(build_store, plan(raw, max_quarantined=1), root)
    assert "none of the 12 images is usable (12 not a readable image)" in message
    assert QUARANTINE in message


def test_a_folder_without_any_image_file_is_named(raw, plan):
    shutil.rmtree(raw / "images")
    assert f"raw_dir '{raw}' holds no PNG or JPEG" in refusal(plan, raw)


def test_images_that_are_all_others_than_the_listed_stop_the_build(raw, root, plan):
    shutil.rmtree(raw / "images")
    Image.new("L", (20, 20)).save(raw / "other.png")
    assert "none of the 12 images is usable (12 missing file)" in refusal(
        build_store, plan(raw, max_quarantined=1), root
    )


# -- reusing and resuming ------------------------------------------------------------------------


def test_a_second_build_writes_nothing_and_marks_the_manifest_as_used(raw, root, plan, caplog):
    first = build_store(plan(raw), root)
    before = contents(first.folder)
    age(first.folder)
    with caplog.at_level(logging.INFO):
        second = build_store(plan(raw), root)
    assert contents(second.folder) == before
    assert written(second.folder) == {MANIFEST}
    assert list(root.iterdir()) == [second.folder]
    assert f"Image store {second.version} is up to date: 12 images, reused" in caplog.text


def break_off(folder, kind):
    """Leave the folder as a killed build might."""
    (folder / MANIFEST).unlink()
    shard = folder / "shard_00001.npy"
    if kind == "shard not written":
        shard.unlink()
        shard.with_suffix(".json").unlink()
    elif kind == "record without shard":
        shard.unlink()
    elif kind == "shard without record":
        shard.with_suffix(".json").unlink()
    elif kind == "shard cut":
        shard.write_bytes(shard.read_bytes()[:-7])
    elif kind == "byte of a shard flipped":
        data = bytearray(shard.read_bytes())
        data[-1] ^= 1
        shard.write_bytes(data)


@pytest.mark.parametrize(
    "kind",
    [
        "shard not written",
        "record without shard",
        "shard without record",
        "shard cut",
        "byte of a shard flipped",
    ],
)
def test_a_killed_build_makes_only_what_is_missing_and_ends_in_the_same_bytes(
    raw, root, plan, kind
):
    damage(raw / "images" / "00000000_000.png", "empty file")
    folder = build_store(plan(raw), root).folder
    before = contents(folder)
    break_off(folder, kind)
    assert "no finished image store" in refusal(open_store, folder)
    age(folder)
    store = build_store(plan(raw), root)
    assert store.folder == folder
    assert contents(folder) == before
    assert written(folder) == {
        "shard_00001.npy",
        "shard_00001.json",
        "index.parquet",
        QUARANTINE,
        MANIFEST,
    }


@pytest.mark.parametrize("workers", [1, 4])
def test_a_shard_that_cannot_be_written_stops_the_build_and_leaves_no_store(
    raw, root, plan, workers
):
    planned = plan(raw, workers=workers)
    folder = root / planned.version()
    (folder / "shard_00001.npy").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        build_store(planned, root)
    assert not (folder / MANIFEST).exists()
    assert not list(folder.glob(".*"))
    (folder / "shard_00001.npy").rmdir()
    assert len(build_store(planned, root)) == 12


def test_a_slow_build_says_how_far_it_is(raw, root, plan, monkeypatch, caplog):
    # The seventh image, in the second of three shards, comes through a pipe that is only filled
    # once the build has reported.
    path = raw / "images" / "00000003_000.png"
    data = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    filled = threading.Event()

    def fill(record=None):
        if record is not None and "Preprocessing: 5 of 12 images" not in record.getMessage():
            return True
        if not filled.is_set():
            filled.set()
            path.write_bytes(data)
        return True

    rescue = threading.Timer(10, fill)
    rescue.daemon = True
    rescue.start()
    monkeypatch.setattr(build, "SECONDS_BETWEEN_REPORTS", 0.02)
    caplog.handler.addFilter(fill)
    with caplog.at_level(logging.INFO):
        store = build_store(plan(raw, workers=1), root)
    rescue.cancel()
    caplog.handler.removeFilter(fill)
    assert "Preprocessing: 5 of 12 images, " in caplog.text
    assert len(store) == 12


def test_one_worker_and_four_make_the_same_bytes(tmp_path, raw, plan):
    damage(raw / "images" / "00000003_000.png", "truncated file")
    one = build_store(plan(raw, workers=1, shard_size=2), tmp_path / "one")
    four = build_store(plan(raw, workers=4, shard_size=2), tmp_path / "four")
    assert one.version == four.version
    assert contents(one.folder) == contents(four.folder)


def test_a_worker_a_core_is_the_choice_where_none_is_made(raw, plan):
    assert plan(raw, workers=None).workers == os.cpu_count()
    assert plan(raw, workers=3).workers == 3


def test_the_same_data_elsewhere_and_of_another_date_have_the_same_digest(tmp_path, raw, plan):
    copy = tmp_path / "copy"
    shutil.copytree(raw, copy, copy_function=shutil.copy)
    for path in (copy / "images").iterdir():
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    here, there = (build_store(plan(folder), tmp_path / "stores") for folder in (raw, copy))
    assert here.digest == there.digest
    assert here.version != there.version


def test_the_same_files_moved_are_the_same_version(tmp_path, raw, plan):
    version = plan(raw).version()
    assert plan(raw.rename(tmp_path / "moved")).version() == version


def redraw(raw):
    path = raw / "images" / "00000004_001.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def relabel(raw):
    path = raw / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text().replace("Mass", "Hernia", 1))


def rewrite_in_place(raw):
    """Other bytes of the same number, at another time."""
    path = raw / "images" / "00000004_001.png"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(LONG_AGO, LONG_AGO))


@pytest.mark.parametrize(
    "change",
    [
        redraw,
        relabel,
        rewrite_in_place,
        lambda raw: (raw / "images" / "00000004_001.png").unlink(),
    ],
    ids=["image", "label", "same length", "image removed"],
)
def test_changed_data_make_a_new_version_beside_the_old(raw, root, plan, change):
    old = build_store(plan(raw), root)
    before = contents(old.folder)
    change(raw)
    new = build_store(plan(raw), root)
    assert new.version != old.version
    assert new.digest != old.digest
    assert contents(old.folder) == before


@pytest.mark.parametrize("change", [{"size": 17}, {"equalise": False}, {"shard_size": 6}])
def test_other_settings_that_decide_the_bytes_are_another_version(raw, plan, change):
    assert plan(raw, **change).version() != plan(raw).version()


@pytest.mark.parametrize("change", [{"workers": 7}, {"max_quarantined": 0.01}])
def test_other_settings_are_the_same_version(raw, plan, change):
    assert plan(raw, **change).version() == plan(raw).version()


# -- real images ---------------------------------------------------------------------------------


def test_a_thousand_real_images_are_all_kept_and_their_labels_with_them(nih1000, tmp_path, plan):
    store = build_store(plan(nih1000, size=64, shard_size=256, equalise=False), tmp_path)
    assert len(store) == 1000
    assert store.quarantine().empty
    with (nih1000 / "Data_Entry_2017_v2020.csv").open(newline="") as file:
        findings = {
            line["Image Index"]: set(line["Finding Labels"].split("|"))
            for line in csv.DictReader(file)
        }
    kept = zip(store.index["image"], store.index["findings"], strict=True)
    assert {image: set(text.split("|")) for image, text in kept} == findings
    assert store.index.groupby("patient")["split"].nunique().max() == 1
    chosen = np.arange(0, 1000, 37)
    for image, pixels in zip(store.index["image"].iloc[chosen], store.read(chosen), strict=True):
        original = io.BytesIO((nih1000 / "images" / image).read_bytes())
        red = np.asarray(Image.open(original).convert("RGB"))[..., 0]
        assert np.array_equal(pixels, red)


def test_a_file_that_the_disk_could_not_read_is_tried_again(raw, root, plan, monkeypatch):
    read_bytes = Path.read_bytes

    def fail_once(path):
        if path.name == "00000000_000.png":
            raise OSError(5, "Input/output error")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", fail_once)
    broken = build_store(plan(raw), root)
    assert broken.quarantine()["reason"].tolist() == ["unreadable file (Input/output error)"]
    monkeypatch.undo()
    mended = build_store(plan(raw), root)
    assert len(mended) == len(broken) + 1
    assert mended.version == broken.version
    assert mended.digest != broken.digest
