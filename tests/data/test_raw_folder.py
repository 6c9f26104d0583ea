import csv
import json
import os
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from cxr_pipeline.data.findings import FINDINGS, NO_FINDING
from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.data.phantoms import draw_phantom, is_rgba
from cxr_pipeline.data.png import encode_png
from cxr_pipeline.data.raw_folder import RawFolder, write_raw_folder
from cxr_pipeline.data.sources import find_images

LONG_AGO = 1_000_000_000 * 10**9
SAMPLE = Path(__file__).resolve().parents[2] / "data" / "01_raw" / "sample"


def describe(images, provenance=None):
    table = pd.DataFrame({"Image Index": list(images)})
    return RawFolder("labels.csv", table, iter(images.items()), provenance or {})


def stored(folder):
    return {path.name: path.read_bytes() for path in (folder / "images").iterdir()}


def test_a_data_set_is_written_with_its_labels_images_and_origin(tmp_path):
    images = {"a.png": b"first", "b.png": b"second"}
    write_raw_folder(describe(images, {"synthetic": True}), tmp_path / "new")
    assert stored(tmp_path / "new") == images
    assert (tmp_path / "new" / "labels.csv").read_text() == "Image Index\na.png\nb.png\n"
    assert json.loads((tmp_path / "new" / "provenance.json").read_text()) == {"synthetic": True}
    names = {"images", "labels.csv", "provenance.json"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == names


def test_without_an_origin_no_record_is_written(tmp_path):
    write_raw_folder(describe({"a.png": b"x"}), tmp_path)
    assert not (tmp_path / "provenance.json").exists()


def test_writing_again_keeps_unchanged_files_with_their_times_and_only_them(tmp_path):
    write_raw_folder(describe({"same.png": b"1", "other.png": b"2", "gone.png": b"3"}), tmp_path)
    for path in (tmp_path / "images").iterdir():
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    images = {"same.png": b"1", "other.png": b"changed", "new.png": b"4"}
    write_raw_folder(describe(images), tmp_path)
    assert stored(tmp_path) == images
    kept = {
        path.name for path in (tmp_path / "images").iterdir() if path.stat().st_mtime_ns == LONG_AGO
    }
    assert kept == {"same.png"}
    assert {path.name for path in tmp_path.iterdir()} == {"images", "labels.csv"}


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    write_raw_folder(describe({"a.png": b"x"}), tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_drawing_that_fails_leaves_the_old_data_set_and_can_be_repeated(tmp_path):
    old = {"a.png": b"old", "b.png": b"old too"}
    write_raw_folder(describe(old), tmp_path)

    def draw():
        yield "a.png", b"new"
        raise RuntimeError("out of ink")

    table = pd.DataFrame({"Image Index": ["z.png"]})
    with pytest.raises(RuntimeError, match="out of ink"):
        write_raw_folder(RawFolder("labels.csv", table, draw(), {}), tmp_path)
    assert stored(tmp_path) == old
    assert "z.png" not in (tmp_path / "labels.csv").read_text()
    assert set(find_images(tmp_path)) == set(old)

    write_raw_folder(describe({"c.png": b"newer"}), tmp_path)
    assert stored(tmp_path) == {"c.png": b"newer"}
    assert {path.name for path in tmp_path.iterdir()} == {"images", "labels.csv"}


# -- the sample data -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample_lines():
    with (SAMPLE / "Data_Entry_2017_v2020.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_the_sample_lists_256_images_and_holds_just_those(sample_lines):
    names = [line["Image Index"] for line in sample_lines]
    assert len(names) == len(set(names)) == 256
    assert set(find_images(SAMPLE)) == set(names)


def test_the_sample_is_under_eight_megabytes():
    size = sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file())
    assert 1_000_000 < size < 8_000_000


def test_the_sample_says_that_it_is_drawn():
    provenance = json.loads((SAMPLE / "provenance.json").read_text())
    assert provenance["synthetic"] is True
    assert (provenance["images"], provenance["patients"]) == (256, 60)


def test_the_sample_shows_every_finding(sample_lines):
    labels = read_labels(SAMPLE)
    assert all(labels[finding].any() for finding in (*FINDINGS, NO_FINDING))
    assert labels["patient"].nunique() == len({line["Patient ID"] for line in sample_lines}) == 60


def test_sample_images_drawn_again_are_those_committed_byte_for_byte(sample_lines):
    provenance = json.loads((SAMPLE / "provenance.json").read_text())
    seed, size = provenance["seed"], provenance["size"]
    plain = next(line for line in sample_lines if not is_rgba(line, seed))
    transparent = next(line for line in sample_lines if is_rgba(line, seed))
    for line, mode in ((plain, "L"), (transparent, "RGBA")):
        path = SAMPLE / "images" / line["Image Index"]
        with Image.open(path) as committed:
            assert (committed.mode, committed.size) == (mode, (size, size))
        drawn = draw_phantom(line, seed, size)
        assert encode_png(drawn, rgba=mode == "RGBA") == path.read_bytes()
