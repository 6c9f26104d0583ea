import os
import shutil
from pathlib import Path

import pytest
from tests.data.pictures import encoded, noise

from cxr_pipeline.data.sources import Source, find_images


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(noise(4, 4)))
    return path


def paths(raw_dir):
    return {name: Path(source.path) for name, source in find_images(raw_dir).items()}


# -- where images are looked for -----------------------------------------------------------------


@pytest.mark.parametrize("folder", [".", "images", "images_001", "images_012/images"])
def test_images_are_found_in_each_of_nihs_layouts(tmp_path, folder):
    path = put(tmp_path / folder / "00000001_000.png")
    assert paths(tmp_path) == {"00000001_000.png": path}


def test_several_folders_make_one_data_set(tmp_path):
    made = [
        put(tmp_path / "a.png"),
        put(tmp_path / "images" / "b.png"),
        *[put(tmp_path / f"images_{n:03d}" / "images" / f"{n}.png") for n in range(1, 13)],
    ]
    assert paths(tmp_path) == {path.name: path for path in made}


def test_images_of_any_case_count_and_other_files_do_not(tmp_path):
    images = {"a.png", "b.PNG", "c.jpg", "d.JPEG", "e.dcm", "f.DICOM"}
    for name in [*images, "g.png.txt", "labels.csv", "png", "h.gif"]:
        (tmp_path / name).write_bytes(b"")
    assert set(find_images(tmp_path)) == images


def test_names_that_differ_in_case_are_two_images(tmp_path):
    made = [put(tmp_path / "a.png"), put(tmp_path / "A.png"), put(tmp_path / "images" / "a.PNG")]
    assert paths(tmp_path) == {path.name: path for path in made}


def test_folders_of_other_names_and_deeper_ones_are_not_searched(tmp_path):
    put(tmp_path / "masks" / "a.png")
    put(tmp_path / "images" / "deeper" / "b.png")
    assert find_images(tmp_path) == {}


def test_the_label_file_stands_for_its_folder(tmp_path):
    path = put(tmp_path / "images" / "a.png")
    (tmp_path / "labels.csv").write_text("")
    assert paths(tmp_path / "labels.csv") == {"a.png": path}


def test_the_home_directory_may_be_abbreviated(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = put(tmp_path / "cxr" / "a.png")
    assert paths("~/cxr") == {"a.png": path}


def test_an_absent_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="does not exist") as caught:
        find_images(tmp_path / "nowhere")
    assert f"raw_dir '{tmp_path / 'nowhere'}' does not exist" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_name_in_two_folders_is_named_with_both(tmp_path):
    first = put(tmp_path / "images_001" / "images" / "a.png")
    second = tmp_path / "images_002" / "images" / "a.png"
    second.parent.mkdir(parents=True)
    shutil.copy(first, second)
    with pytest.raises(ValueError, match="keep one of them") as caught:
        find_images(tmp_path)
    assert str(caught.value) == (
        f"image 'a.png' lies in '{first.parent}' and in '{second.parent}': keep one of them"
    )


def test_the_real_images_are_all_found(nih1000):
    images = paths(nih1000)
    assert len(images) == 1000
    assert images["00000001_000.png"] == nih1000 / "images" / "00000001_000.png"


# -- what is known of them -----------------------------------------------------------------------


def test_size_and_time_are_those_of_the_file(tmp_path):
    path = put(tmp_path / "a.png")
    os.utime(path, ns=(5, 1234567890123456789))
    length = path.stat().st_size
    assert find_images(tmp_path) == {
        "a.png": Source(str(path), length, 1234567890123456789, leads_out=False)
    }


def links_out(tmp_path, place, target):
    """Whether a link at `place`, in the data set, to `target`, beside it, leads out."""
    link = tmp_path / "raw" / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    (source,) = find_images(tmp_path / "raw").values()
    return source.leads_out


def test_a_link_out_of_the_folder_is_told(tmp_path):
    length = put(tmp_path / "elsewhere" / "a.png").stat().st_size
    assert links_out(tmp_path, "images/a.png", "../../elsewhere/a.png")
    (source,) = find_images(tmp_path / "raw").values()
    assert source.size == length


def test_a_link_into_a_folder_whose_name_begins_alike_leads_out(tmp_path):
    put(tmp_path / "raw2" / "a.png")
    assert links_out(tmp_path, "a.png", tmp_path / "raw2" / "a.png")


def test_images_behind_a_folder_that_is_a_link_lead_out(tmp_path):
    put(tmp_path / "elsewhere" / "a.png")
    assert links_out(tmp_path, "images_001", tmp_path / "elsewhere")


def test_a_link_within_the_folder_does_not_lead_out(tmp_path):
    put(tmp_path / "raw" / "archive" / "a.png")
    assert not links_out(tmp_path, "images/a.png", "../archive/a.png")


def test_the_folder_itself_may_be_a_link(tmp_path):
    put(tmp_path / "disk" / "images" / "a.png")
    (tmp_path / "raw").symlink_to("disk")
    (source,) = find_images(tmp_path / "raw").values()
    assert not source.leads_out


@pytest.mark.parametrize(
    ("make", "trouble"),
    [
        (lambda path: path.symlink_to("nothing.png"), "broken link (No such file or directory)"),
        (
            lambda path: path.symlink_to(path.name),
            "broken link (Too many levels of symbolic links)",
        ),
        (lambda path: path.mkdir(), "not a file"),
        (os.mkfifo, "not a file"),
    ],
    ids=["link to nothing", "link to itself", "folder", "pipe"],
)
def test_what_is_no_file_is_listed_with_the_trouble(tmp_path, make, trouble):
    make(tmp_path / "a.png")
    (source,) = find_images(tmp_path).values()
    assert source.trouble == trouble
    assert not source.leads_out


def test_a_folder_of_images_that_links_to_itself_holds_none(tmp_path):
    (tmp_path / "images").symlink_to("images")
    put(tmp_path / "a.png")
    assert list(find_images(tmp_path)) == ["a.png"]
