import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.pictures import encoded, noise
from tests.data.stores import LONG_AGO, refusal

from cxr_pipeline.data.labels import findings_text, read_labels
from cxr_pipeline.data.selection import Selection
from cxr_pipeline.data.shards import LINK
from cxr_pipeline.data.transforms import Transform

IMAGE = Path("images/00000004_001.png")


def listed(planned):
    """Name to what a shard is told of the image."""
    jobs = planned.jobs(Path("store"))
    return {each.image: each for job in jobs for each in job.images}


@pytest.fixture(scope="module")
def twelve_images(tmp_path_factory, make_data_set):
    return make_data_set(tmp_path_factory.mktemp("planned"))


# -- what is listed ------------------------------------------------------------------------------


def test_the_table_is_the_label_s_with_their_findings_as_text(raw, plan):
    planned = plan(raw)
    labels = read_labels(raw)
    assert planned.table["findings"].tolist() == findings_text(labels).tolist()
    for column in ("image", "patient", "age", "sex", "view"):
        assert planned.table[column].tolist() == labels[column].tolist()
    assert planned.classes[-1] == "No Finding"
    assert len(planned.classes) == 15
    assert planned.name == "raw"


@settings(deadline=None, derandomize=True, max_examples=30)
@given(shard_size=st.integers(1, 14))
def test_every_image_is_in_one_shard_in_the_label_s_order(twelve_images, plan, shard_size):
    raw = twelve_images
    jobs = plan(raw, shard_size=shard_size).jobs(Path("store"))
    names = [each.image for job in jobs for each in job.images]
    assert names == read_labels(raw)["image"].tolist()
    assert [len(job.images) for job in jobs[:-1]] == [shard_size] * (len(jobs) - 1)
    assert [job.number for job in jobs] == list(range(len(jobs)))
    assert {job.folder for job in jobs} == {str(Path.cwd() / "store")}


def test_jobs_say_where_each_file_lies_wherever_they_are_run(raw, plan, monkeypatch):
    monkeypatch.chdir(raw.parent)
    (raw / IMAGE).unlink()
    places = {name: each.path for name, each in listed(plan("raw")).items()}
    assert places.pop(IMAGE.name) is None
    assert places == {path.name: str(path) for path in (raw / "images").iterdir()}


def test_a_selection_takes_its_images_and_counts_the_others(raw, plan):
    planned = plan(raw, selection=Selection(findings=("Mass",)))
    assert set(planned.table["findings"]) == {"Mass"}
    assert list(planned.table.index) == [0, 1, 2]
    assert planned.counts == {"not_selected": 9, "unlisted_files": 0}


def test_a_selection_that_leaves_no_image_is_named(raw, plan):
    message = refusal(plan, raw, selection=Selection(findings=("Hernia",), views=("AP",)))
    assert message == (
        "preprocessing.selection (findings=Hernia, views=AP) leaves none of the 12 images: widen it"
    )


def test_files_that_no_row_lists_are_counted_and_those_not_selected_are_not(raw, plan, caplog):
    shutil.copy(raw / IMAGE, raw / "images" / "stray.png")
    shutil.copy(raw / IMAGE, raw / "00000004_001.PNG")
    with caplog.at_level(logging.WARNING):
        planned = plan(raw, selection=Selection(findings=("Mass",)))
    assert planned.counts["unlisted_files"] == 2
    assert f"2 image files in '{raw}' are in no row of the labels" in caplog.text


def test_a_folder_without_any_image_file_is_named(raw, plan):
    shutil.rmtree(raw / "images")
    assert f"raw_dir '{raw}' holds no PNG, JPEG or DICOM" in refusal(plan, raw)


def test_links_out_of_the_folder_are_refused_unless_followed(raw, plan):
    outside = (raw / IMAGE).rename(raw.parent / "outside.png")
    (raw / IMAGE).symlink_to(outside)
    assert listed(plan(raw))[IMAGE.name].refused == LINK
    assert {each.refused for each in listed(plan(raw, follow_links=True)).values()} == {None}


def test_what_is_no_file_or_too_long_for_its_pixels_is_not_to_be_opened(raw, plan):
    (raw / IMAGE).unlink()
    os.mkfifo(raw / IMAGE)
    with (raw / "images" / "00000000_000.png").open("ab") as file:
        file.truncate(2**40)  # sparse: a terabyte that takes no place
    refused = {name: each.refused for name, each in listed(plan(raw)).items() if each.refused}
    assert refused == {IMAGE.name: "not a file", "00000000_000.png": "more than 160,000 bytes"}


def test_a_worker_a_core_is_the_choice_where_none_is_made(raw, plan):
    assert plan(raw, workers=None).workers == os.cpu_count()
    assert plan(raw, workers=3).workers == 3


# -- versions ------------------------------------------------------------------------------------


def test_the_same_files_moved_are_the_same_version(tmp_path, raw, plan):
    version = plan(raw).version()
    assert plan(raw.rename(tmp_path / "moved")).version() == version


@pytest.mark.parametrize(
    "change",
    [
        {"how": Transform(17, equalise=True)},
        {"how": Transform(16, equalise=False)},
        {"how": Transform(16, "clahe")},
        {"shard_size": 6},
        {"max_pixels": 9_999},
        {"follow_links": True},
        {"selection": Selection(findings=("Mass",))},
    ],
)
def test_other_settings_that_decide_the_bytes_are_another_version(raw, plan, change):
    assert plan(raw, **change).version() != plan(raw).version()


@pytest.mark.parametrize(
    "change",
    [
        {"workers": 7},
        {"max_quarantined": 0.01},
        {"dask_scheduler": "tcp://somewhere:8786"},
        {"verify": True},
        {"how": Transform(16, equalise=True, clahe_tiles=3)},
        {"selection": Selection(youngest=0)},
    ],
)
def test_other_settings_are_the_same_version(raw, plan, change):
    assert plan(raw, **change).version() == plan(raw).version()


def relabel(raw):
    path = raw / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text().replace("Mass", "Hernia", 1))


def lengthen(raw):
    stamp = (raw / IMAGE).stat()
    (raw / IMAGE).write_bytes((raw / IMAGE).read_bytes() + b"\0")
    os.utime(raw / IMAGE, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def link_out(raw):
    stamp = (raw / IMAGE).stat()
    outside = shutil.move(raw / IMAGE, raw.parent / "outside.png")
    os.utime(outside, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    (raw / IMAGE).symlink_to(outside)


@pytest.mark.parametrize(
    "change",
    [
        relabel,
        lengthen,
        link_out,
        lambda raw: os.utime(raw / IMAGE, ns=(LONG_AGO, LONG_AGO)),
        lambda raw: (raw / IMAGE).unlink(),
    ],
    ids=["label", "length", "link", "time", "image removed"],
)
def test_changed_labels_and_files_are_another_version(raw, plan, change):
    before = plan(raw).version()
    change(raw)
    assert plan(raw).version() != before


def test_files_that_no_row_lists_are_the_same_version(raw, plan):
    version = plan(raw).version()
    (raw / "images" / "stray.png").write_bytes(encoded(noise(4, 4)))
    assert plan(raw).version() == version


def test_classes_that_the_labels_know_are_part_of_the_version(raw, plan):
    planned = plan(raw)
    other = replace(planned, classes=planned.classes[1:])
    assert other.version() != planned.version()


def test_the_plan_s_parameters_say_what_turns_files_into_pixels(raw, plan):
    assert plan(raw).parameters == {
        "size": 16,
        "equalise": True,
        "transform_version": 2,
        "shard_size": 5,
        "max_pixels": 10_000,
        "follow_links": False,
    }
    how = Transform(16, "clahe", clahe_clip_limit=4.0)
    clahe = plan(raw, how=how).parameters["equalise"]
    assert clahe == {"clahe": {"clip_limit": 4.0, "tiles": 8}}
