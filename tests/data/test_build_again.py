"""A store that is there already, or partly: reused, mended, gone on with, verified."""

import logging
import os
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1
from tests.data.dicoms import dicom
from tests.data.pictures import encoded, noise
from tests.data.stores import (
    ALWAYS_WRITTEN,
    LONG_AGO,
    age,
    contents,
    damage,
    pad,
    pixels_of,
    refusal,
    swap_unseen,
    transformed,
    written,
)

from cxr_pipeline.data import build
from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.locks import lock
from cxr_pipeline.data.store import DUPLICATES, INDEX, MANIFEST, QUARANTINE, open_store

FIRST = "00000000_000.png"


# -- reusing and resuming ------------------------------------------------------------------------


def test_a_second_build_reads_no_image_and_only_marks_the_manifest_as_used(raw, root, plan, caplog):
    first = build_store(plan(raw), root)
    before = contents(first.folder)
    age(first.folder)
    for path in (raw / "images").iterdir():
        stamp = path.stat()
        path.write_bytes(bytes(stamp.st_size))
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with caplog.at_level(logging.INFO):
        second = build_store(plan(raw), root)
    assert contents(second.folder) == before
    assert written(second.folder) == {MANIFEST}
    assert list(root.iterdir()) == [second.folder]
    assert f"Image store {second.version} is up to date: 12 images, reused" in caplog.text


def test_a_reused_store_counts_the_unlisted_files_that_are_there_now(raw, root, plan):
    assert build_store(plan(raw), root).manifest["unlisted_files"] == 0
    shutil.copy(raw / "images" / FIRST, raw / "images" / "stray.png")
    again = build_store(plan(raw), root)
    assert again.manifest["unlisted_files"] == 1
    assert open_store(again.folder).manifest == again.manifest


def break_off(folder, kind):
    """Leave the folder as a killed build, or a disk, might."""
    shard = folder / "shard_00001.npy"
    if kind != "shard lost":
        (folder / MANIFEST).unlink()
    if kind == "shard not written":
        shard.unlink()
        shard.with_suffix(".json").unlink()
    elif kind in ("record without shard", "shard lost"):
        shard.unlink()
    elif kind == "shard without record":
        shard.with_suffix(".json").unlink()
    elif kind == "shard cut":
        shard.write_bytes(shard.read_bytes()[:-7])
    (folder / ".shard_00001.npy.99.part").write_bytes(b"half")
    os.utime(folder / ".shard_00001.npy.99.part", (1, 1))


@pytest.mark.parametrize(
    "kind",
    ["shard not written", "record without shard", "shard without record", "shard cut",
     "shard lost"],
)  # fmt: skip
def test_a_broken_store_is_mended_where_it_is_broken_and_ends_in_the_same_bytes(
    raw, root, plan, kind
):
    damage(raw / "images" / FIRST, "empty file")
    folder = build_store(plan(raw), root).folder
    before = contents(folder)
    break_off(folder, kind)
    refusal(open_store, folder)
    age(folder)
    store = build_store(plan(raw), root)
    assert store.folder == folder
    assert contents(folder) == before
    assert written(folder) == {"shard_00001.npy", "shard_00001.json", *ALWAYS_WRITTEN}


@pytest.mark.parametrize("name", [QUARANTINE, DUPLICATES])
def test_a_table_with_other_columns_is_written_anew_with_a_warning(raw, root, plan, name, caplog):
    folder = build_store(plan(raw), root).folder
    before = contents(folder)
    (folder / name).write_text("x\n")
    with caplog.at_level(logging.WARNING):
        build_store(plan(raw), root)
    assert contents(folder) == before
    assert f"'{folder / name}' is damaged" in caplog.text


@pytest.mark.parametrize("name", [INDEX, QUARANTINE, DUPLICATES, MANIFEST])
def test_a_lost_table_is_written_anew_without_making_a_shard(raw, root, plan, name):
    folder = build_store(plan(raw), root).folder
    before = contents(folder)
    age(folder)
    (folder / name).unlink()
    build_store(plan(raw), root)
    assert contents(folder) == before
    assert written(folder) == ALWAYS_WRITTEN


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
    # The second of three shards is not made before the build has said that it waits for it.
    make, said = build.build_shard, threading.Event()

    def make_slowly(job):
        if job.number == 1:
            said.wait(timeout=30)
        return make(job)

    def listen(record):
        if "Preprocessing: 5 of 12 images, " in record.getMessage():
            said.set()
        return True

    monkeypatch.setattr(build, "build_shard", make_slowly)
    monkeypatch.setattr(build, "SECONDS_BETWEEN_REPORTS", 0.02)
    caplog.handler.addFilter(listen)
    with caplog.at_level(logging.INFO):
        store = build_store(plan(raw, workers=1), root)
    caplog.handler.removeFilter(listen)
    assert said.is_set()
    assert len(store) == 12


def test_one_worker_and_four_make_the_same_bytes(tmp_path, raw, plan):
    damage(raw / "images" / "00000003_000.png", "truncated file")
    one = build_store(plan(raw, workers=1, shard_size=2), tmp_path / "one")
    four = build_store(plan(raw, workers=4, shard_size=2), tmp_path / "four")
    assert one.version == four.version
    assert contents(one.folder) == contents(four.folder)


def test_the_same_data_elsewhere_and_of_another_date_have_the_same_digest(tmp_path, raw, plan):
    copy = tmp_path / "copy"
    shutil.copytree(raw, copy, copy_function=shutil.copy)
    for path in (copy / "images").iterdir():
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    here, there = (build_store(plan(folder), tmp_path / "stores") for folder in (raw, copy))
    assert here.digest == there.digest
    assert here.version != there.version


def redraw(raw):
    path = raw / "images" / "00000004_001.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def relabel(raw):
    path = raw / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text().replace("Mass", "Hernia", 1))


def remove(raw):
    (raw / "images" / "00000004_001.png").unlink()


@pytest.mark.parametrize("change", [redraw, relabel, remove])
def test_changed_data_make_a_new_version_beside_the_old(raw, root, plan, change):
    old = build_store(plan(raw), root)
    before = contents(old.folder)
    change(raw)
    new = build_store(plan(raw), root)
    assert new.version != old.version
    assert new.digest != old.digest
    assert contents(old.folder) == before


def test_a_file_that_the_disk_could_not_read_is_tried_again(raw, root, plan, monkeypatch):
    read_bytes = Path.read_bytes

    def fail_once(path):
        if path.name == FIRST:
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


# -- verifying -----------------------------------------------------------------------------------


def test_verifying_an_unchanged_store_changes_no_byte_and_makes_no_shard(raw, root, plan):
    damage(raw / "images" / FIRST, "empty file")
    folder = build_store(plan(raw), root).folder
    before = contents(folder)
    age(folder)
    build_store(plan(raw, verify=True), root)
    assert contents(folder) == before
    assert written(folder) == ALWAYS_WRITTEN


def test_contents_exchanged_unseen_are_found_mended_and_told_by_verifying(raw, root, plan, caplog):
    pad((raw / "images").iterdir())
    old = build_store(plan(raw), root)
    paths = raw / "images" / "00000000_001.png", raw / "images" / "00000001_000.png"
    swap_unseen(*paths)
    assert build_store(plan(raw), root).digest == old.digest
    age(old.folder)
    with caplog.at_level(logging.WARNING):
        new = build_store(plan(raw, verify=True), root)
    assert "1 of 3 shards were damaged, or their images had changed" in caplog.text
    assert "shard_00000.npy" in caplog.text
    assert new.version == old.version
    assert new.digest != old.digest
    assert written(new.folder) == {"shard_00000.npy", "shard_00000.json", *ALWAYS_WRITTEN}
    for path in paths:
        assert np.array_equal(pixels_of(new)[path.name], transformed(path))
    assert build_store(plan(raw), root).digest == new.digest


def test_a_flipped_byte_of_a_shard_is_mended_by_verifying(raw, root, plan):
    folder = build_store(plan(raw), root).folder
    before = contents(folder)
    shard = folder / "shard_00001.npy"
    shard.write_bytes(before[shard.name][:-1] + bytes([before[shard.name][-1] ^ 1]))
    age(folder)
    build_store(plan(raw), root)
    assert contents(folder) != before
    build_store(plan(raw, verify=True), root)
    assert contents(folder) == before
    assert written(folder) == {"shard_00001.npy", "shard_00001.json", *ALWAYS_WRITTEN}


def test_dicom_files_are_taken_as_soon_as_pydicom_is_there(
    tmp_path, root, row, write_csv, plan, monkeypatch
):
    raw = tmp_path / "with_dicom"
    write_csv(raw, [row("a.png"), row("b.dcm")])
    (raw / "a.png").write_bytes(encoded(noise(20, 20)))
    (raw / "b.dcm").write_bytes(dicom(noise(20, 20)))
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pydicom", None)
        without = build_store(plan(raw), root)
    reasons = dict(without.quarantine().itertuples(index=False))
    assert reasons == {"b.dcm": "DICOM needs pydicom: pip install pydicom"}
    store = build_store(plan(raw), root)
    assert store.version == without.version
    assert store.index["image"].tolist() == ["a.png", "b.dcm"]


def test_a_store_that_another_data_set_shares_is_called_after_the_one_at_hand(
    tmp_path, raw, root, plan
):
    first = build_store(plan(raw), root)
    other = shutil.copytree(raw, tmp_path / "other")
    again = build_store(plan(other), root)
    assert again.version == first.version
    assert (first.manifest["data"], again.manifest["data"]) == ("raw", "other")
    assert open_store(again.folder).manifest["data"] == "other"


def test_a_dicom_that_cannot_be_decoded_is_tried_again_and_leaves_the_store_as_it_is(
    tmp_path, root, row, write_csv, plan, caplog
):
    raw = tmp_path / "with_dicom"
    write_csv(raw, [row("a.png"), row("b.dcm")])
    (raw / "a.png").write_bytes(encoded(noise(20, 20)))
    lossless = dicom(noise(20, 20), syntax=JPEGLosslessSV1, data=encapsulate([bytes(8)]))
    (raw / "b.dcm").write_bytes(lossless)
    store = build_store(plan(raw), root)
    assert "compression not supported" in store.quarantine()["reason"].item()
    before = contents(store.folder)
    age(store.folder)
    with caplog.at_level(logging.INFO):
        assert build_store(plan(raw), root).version == store.version
    assert "0 of 1 shards made" in caplog.text
    assert "anew" not in caplog.text
    assert contents(store.folder) == before
    assert written(store.folder) == ALWAYS_WRITTEN
    refusal(build_store, plan(raw, max_quarantined=0), root)
    assert contents(store.folder) == before


# -- two at once ---------------------------------------------------------------------------------


def test_a_build_waits_for_another_of_the_same_store_and_takes_what_that_made(
    raw, root, plan, tmp_path, caplog
):
    whole = build_store(plan(raw), tmp_path / "other").folder
    age(whole)
    folder = root / whole.name
    half = folder / ".shard_00001.npy.99.part"
    folder.mkdir(parents=True)
    half.write_bytes(b"half")
    with caplog.at_level(logging.INFO):
        with lock(folder, "it", wait=False):
            building = threading.Thread(target=build_store, args=(plan(raw), root))
            building.start()
            while f"Waiting for the image store '{folder}'" not in caplog.text:
                assert building.is_alive()
            assert list(folder.iterdir()) == [half]
            half.unlink()
            for path in whole.iterdir():
                shutil.copy2(path, folder)
        building.join(timeout=60)
    assert contents(folder) == contents(whole)
    assert written(folder) == {MANIFEST}  # marked as used


def test_images_read_from_a_store_that_was_mended_meanwhile_are_refused(raw, root, plan):
    store = build_store(plan(raw), root)
    rows = np.arange(2)
    store.read(rows)
    manifest = store.folder / MANIFEST
    text = manifest.read_text()
    manifest.write_text(text.replace(store.digest, "another"))
    message = f"image store '{store.folder}' was changed while this run used it: run again"
    assert refusal(store.read, rows) == message
    manifest.unlink()
    assert refusal(store.read, rows) == message
    shutil.rmtree(store.folder)
    assert refusal(store.read, rows) == message
