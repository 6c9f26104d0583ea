import csv
import io
import json
import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.dicoms import dicom
from tests.data.pictures import encoded, noise
from tests.data.stores import (
    ALWAYS_WRITTEN,
    REASONS,
    age,
    damage,
    pixels_of,
    refusal,
    transformed,
    written,
)

from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.labels import findings_text, read_labels
from cxr_pipeline.data.selection import Selection
from cxr_pipeline.data.store import MANIFEST, QUARANTINE, open_store
from cxr_pipeline.data.transforms import Transform

FIRST = "00000000_000.png"
PLAIN = Transform(32, equalise=False)


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
    for image, picture in pixels_of(store).items():
        (path,) = raw.rglob(image)
        assert np.array_equal(picture, transformed(path))


def test_all_kinds_of_image_files_are_kept(tmp_path, root, row, write_csv, plan):
    raw = tmp_path / "raw"
    levels = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1))
    grey = Image.fromarray(levels)
    window = {"WindowCenter": 128, "WindowWidth": 256}  # all levels as they are
    images = {
        "grey.png": encoded(grey),
        "rgb.png": encoded(grey, mode="RGB"),
        "rgba.png": encoded(grey, mode="RGBA"),
        "palette.PNG": encoded(grey, mode="P"),
        "deep.png": encoded(levels.astype(np.uint16) * 257),
        "photo.jpg": encoded(grey, "jpeg", quality=100),
        "colour.JPEG": encoded(grey, "jpeg", "RGB", quality=100),
        "misnamed.jpg": encoded(grey),
        "radiograph.dcm": dicom(levels, **window),
        "inverted.DICOM": dicom(255 - levels, PhotometricInterpretation="MONOCHROME1", **window),
    }
    write_csv(raw, [row(name) for name in images])
    for name, data in images.items():
        (raw / name).write_bytes(data)
    store = build_store(plan(raw, how=PLAIN), root)
    assert store.index["image"].tolist() == list(images)
    for name, pixels in pixels_of(store).items():
        allowed = 2 if images[name].startswith(b"\xff\xd8") else 0
        assert np.abs(pixels.astype(int) - levels).max() <= allowed, name


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
        for name, pixels in pixels_of(store).items():
            assert np.array_equal(pixels, transformed(raw / "images" / name))
        assert len(store.manifest["shards"]) == -(-12 // shard_size)


def test_what_is_no_image_is_left_out_with_the_reason_and_crashes_nothing(raw, root, plan):
    paths = sorted((raw / "images").iterdir())
    outside = paths[0].rename(raw.parent / "outside.png")
    paths[0].symlink_to(outside)
    for path in paths[1:4]:
        path.unlink()
    paths[1].mkdir()
    paths[2].symlink_to(paths[2].name)
    paths[3].symlink_to("nothing.png")
    paths[4].write_bytes(encoded(noise(101, 100)))
    paths[5].write_bytes(encoded(noise(20, 20), "gif"))
    store = build_store(plan(raw), root)
    reasons = dict(store.quarantine().itertuples(index=False))
    assert {path.name: reasons.pop(path.name) for path in paths[:6]} == {
        paths[0].name: "link out of the folder",
        paths[1].name: "not a file",
        paths[2].name: "broken link (Too many levels of symbolic links)",
        paths[3].name: "broken link (No such file or directory)",
        paths[4].name: "more than 10,000 pixels",
        paths[5].name: "not a readable image",
    }
    assert not reasons
    for name, pixels in pixels_of(store).items():
        assert np.array_equal(pixels, transformed(raw / "images" / name))


def test_links_out_of_the_folder_are_followed_when_asked(raw, root, plan):
    kept_there = raw.parent / "archive"
    (raw / "images").rename(kept_there)
    (raw / "images").symlink_to(kept_there)
    message = refusal(build_store, plan(raw), root)
    assert "12 link out of the folder; preprocessing.follow_links=true would follow" in message
    assert len(build_store(plan(raw, follow_links=True), root)) == 12


def test_the_manifest_says_what_the_store_was_made_of(raw, root, plan):
    shutil.copy(raw / "images" / FIRST, raw / "images" / "stray.png")
    damage(raw / "images" / FIRST, "empty file")
    selection = Selection(findings=("Mass", "No Finding"))
    store = build_store(plan(raw, selection=selection), root)
    assert store.folder == root / store.version
    manifest = json.loads((store.folder / MANIFEST).read_text())
    assert manifest == store.manifest
    assert manifest["parameters"] == plan(raw).parameters
    assert manifest["classes"] == list(plan(raw).classes)
    counts = ("listed", "kept", "quarantined", "duplicates", "not_selected", "unlisted_files")
    assert {key: manifest[key] for key in counts} == {
        "listed": 6,
        "kept": 5,
        "quarantined": 1,
        "duplicates": 0,
        "not_selected": 6,
        "unlisted_files": 1,
    }
    assert manifest["data"] == "raw"
    assert [shard["file"] for shard in manifest["shards"]] == ["shard_00000.npy", "shard_00001.npy"]
    assert not [path for path in root.rglob("*") if path.name.endswith(".part")]


# -- the same picture in several patients --------------------------------------------------------


def test_patients_who_share_a_picture_are_all_kept_and_named(raw, root, plan, caplog):
    shared = ["00000000_000.png", "00000002_001.png", "00000005_000.png"]
    data = (raw / "images" / shared[0]).read_bytes()
    for name in shared[1:]:
        # The same pixels in another file.
        (raw / "images" / name).write_bytes(data + b"another file")
    for name in ("00000003_000.png", "00000003_001.png"):  # of one patient: no matter
        (raw / "images" / name).write_bytes(encoded(noise(30, 30)))
    with caplog.at_level(logging.WARNING):
        store = build_store(plan(raw), root)
    assert len(store) == 12
    assert store.manifest["duplicates"] == 3
    duplicates = store.duplicates()
    assert duplicates["image"].tolist() == shared
    assert duplicates["patient"].tolist() == ["0", "2", "5"]
    assert set(duplicates["picture"]) == {"1"}
    (warning,) = [r.getMessage() for r in caplog.records if "several patients" in r.getMessage()]
    assert " = ".join(shared) in warning
    assert warning.startswith("1 pictures are the same")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        build_store(plan(raw), root)
    assert warning in caplog.text


def test_the_warning_stays_short_however_many_share_however_many(
    tmp_path, root, make_data_set, plan, caplog
):
    raw = make_data_set(tmp_path / "raw", count=120)
    for number, path in enumerate(sorted((raw / "images").iterdir())):
        path.write_bytes(encoded(noise(20, 20, seed=number % 10)))
    with caplog.at_level(logging.WARNING):
        store = build_store(plan(raw, shard_size=50), root)
    assert store.manifest["duplicates"] == 120
    (warning,) = [r.getMessage() for r in caplog.records if "several patients" in r.getMessage()]
    assert warning.startswith("10 pictures are the same")
    assert warning.count(".png") == 9
    assert warning.count("; ") == 3
    assert "= 9 more; " in warning
    assert "; 7 more: see" in warning


# -- how many may be left out --------------------------------------------------------------------


def test_as_many_as_allowed_may_be_quarantined_and_each_run_says_so(raw, root, plan, caplog):
    for name, kind in zip((FIRST, "00000001_000.png", "00000002_000.png"), REASONS[1:],
                          strict=True):  # fmt: skip
        damage(raw / "images" / name, kind)
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert len(build_store(plan(raw, max_quarantined=0.25), root)) == 9
        assert "3 images quarantined" in caplog.text
        assert "1 truncated file" in caplog.text


def test_more_than_allowed_stops_the_build_with_counts_reasons_and_remedy(raw, root, plan):
    for name in (FIRST, "00000001_000.png", "00000002_000.png"):
        damage(raw / "images" / name, "truncated file")
    planned = plan(raw, max_quarantined=0.24)
    message = refusal(build_store, planned, root)
    assert "3 of 12 images (25.0%) are unusable (3 truncated file)" in message
    assert "more than preprocessing.max_quarantined=0.24 allows" in message
    listed = root / planned.version() / QUARANTINE
    assert f"'{listed}'" in message
    assert set(pd.read_csv(listed)["reason"]) == {"truncated file"}
    assert "no finished image store" in refusal(open_store, root / planned.version())


def test_of_many_reasons_the_commonest_are_told(raw, root, plan, caplog):
    paths = sorted((raw / "images").iterdir())
    spoilt = dict(zip(paths, [*REASONS, "empty file", "empty file"], strict=False))
    for path, kind in spoilt.items():
        damage(path, kind)
    paths[6].unlink()
    paths[6].mkdir()
    with caplog.at_level(logging.WARNING):
        build_store(plan(raw, max_quarantined=0.9), root)
    assert "7 images quarantined (3 empty file, " in caplog.text
    assert ", 2 more): see" in caplog.text


def test_a_store_that_is_there_is_refused_where_less_is_allowed_by_now(raw, root, plan):
    damage(raw / "images" / FIRST, "empty file")
    store = build_store(plan(raw, max_quarantined=0.1), root)
    assert "1 of 12 images (8.3%)" in refusal(build_store, plan(raw, max_quarantined=0.01), root)
    assert len(open_store(store.folder)) == 11


def test_a_build_that_was_refused_goes_on_when_more_may_be_left_out(raw, root, plan):
    damage(raw / "images" / FIRST, "empty file")
    refusal(build_store, plan(raw, max_quarantined=0), root)
    (folder,) = root.iterdir()
    age(folder)
    store = build_store(plan(raw, max_quarantined=0.1), root)
    assert store.folder == folder
    assert written(folder) == ALWAYS_WRITTEN
    assert len(store) == 11


def test_no_usable_image_stops_the_build_whatever_is_allowed(raw, root, plan):
    for path in (raw / "images").iterdir():
        damage(path, "not a readable image")
    message = refusal(build_store, plan(raw, max_quarantined=1), root)
    assert "none of the 12 images is usable (12 not a readable image)" in message
    assert QUARANTINE in message


def test_images_that_are_all_others_than_the_listed_stop_the_build(raw, root, plan):
    shutil.rmtree(raw / "images")
    Image.new("L", (20, 20)).save(raw / "other.png")
    assert "none of the 12 images is usable (12 missing file)" in refusal(
        build_store, plan(raw, max_quarantined=1), root
    )


# -- real images ---------------------------------------------------------------------------------


def test_a_thousand_real_images_are_all_kept_and_their_labels_with_them(nih1000, tmp_path, plan):
    how = Transform(64, equalise=False)
    store = build_store(plan(nih1000, how=how, shard_size=256), tmp_path)
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
