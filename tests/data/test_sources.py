import shutil

import numpy as np
import pytest
from PIL import Image

from cxr_pipeline.data.sources import find_images


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(path, "png")
    return path


@pytest.mark.parametrize("folder", [".", "images", "images_001", "images_012/images"])
def test_images_are_found_in_each_of_nihs_layouts(tmp_path, folder):
    path = put(tmp_path / folder / "00000001_000.png")
    assert find_images(tmp_path) == {"00000001_000.png": path}


def test_several_folders_make_one_data_set(tmp_path):
    paths = [
        put(tmp_path / "a.png"),
        put(tmp_path / "images" / "b.png"),
        put(tmp_path / "images_001" / "images" / "c.png"),
        put(tmp_path / "images_002" / "images" / "d.png"),
    ]
    assert find_images(tmp_path) == {path.name: path for path in paths}


def test_pngs_and_jpegs_of_any_case_count_and_other_files_do_not(tmp_path):
    for name in ("a.png", "b.PNG", "c.jpg", "d.JPEG", "e.dcm", "f.png.txt", "labels.csv"):
        (tmp_path / name).write_bytes(b"")
    assert set(find_images(tmp_path)) == {"a.png", "b.PNG", "c.jpg", "d.JPEG"}


def test_folders_of_other_names_and_deeper_ones_are_not_searched(tmp_path):
    put(tmp_path / "masks" / "a.png")
    put(tmp_path / "images" / "deeper" / "b.png")
    assert find_images(tmp_path) == {}


def test_the_label_file_stands_for_its_folder(tmp_path):
    path = put(tmp_path / "images" / "a.png")
    (tmp_path / "labels.csv").write_text("")
    assert find_images(tmp_path / "labels.csv") == {"a.png": path}


def test_the_home_directory_may_be_abbreviated(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = put(tmp_path / "cxr" / "a.png")
    assert find_images("~/cxr") == {"a.png": path}


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
    images = find_images(nih1000)
    assert len(images) == 1000
    assert images["00000001_000.png"] == nih1000 / "images" / "00000001_000.png"
