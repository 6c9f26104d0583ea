import numpy as np
import pytest

from cxr_pipeline.data.png import encode_png
from cxr_pipeline.evaluation.image_folders import folder_set

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "mine"
    (folder / "images").mkdir(parents=True)
    for name, level, side in (("b.png", 20, 32), ("a.png", 10, 64)):
        picture = np.full((side, side), level, dtype=np.uint8)
        (folder / "images" / name).write_bytes(encode_png(picture))
    return folder


def test_images_come_in_the_order_of_their_names_and_of_one_size(folder, tmp_path):
    found = folder_set(folder, 16, tmp_path / "kept")
    assert found.name == "mine"
    assert found.pixels.shape == (2, 16, 16)
    assert found.pixels[:, 0, 0].tolist() == [10, 20]
    assert found.labels == ("", "")


def test_a_label_file_says_what_they_show(folder, tmp_path, caplog):
    (folder / "labels.csv").write_text(HEADER + "a.png,Mass|Edema,0,1,,,,32,32,,\n")
    assert folder_set(folder, 16, tmp_path / "kept").labels == ("Mass|Edema", "")
    assert "1 of 2 images" in caplog.text
    assert "b.png" in caplog.text


def test_findings_that_are_not_known_are_told_and_left_out(folder, tmp_path, caplog):
    rows = "a.png,Covid|edema,0,1,,,,32,32,,\nb.png,Covid,0,2,,,,32,32,,\n"
    (folder / "labels.csv").write_text(HEADER + rows)
    # Of the second image nothing is known: it is none without a finding.
    assert folder_set(folder, 16, tmp_path / "kept").labels == ("Edema", "")
    assert "Covid (2 images)" in caplog.text


def test_a_name_that_lies_twice_in_the_folder_stays_in_the_log(folder, tmp_path, caplog):
    (folder / "a.png").write_bytes((folder / "images/a.png").read_bytes())
    with pytest.raises(ValueError, match="cannot be listed") as caught:
        folder_set(folder, 16, tmp_path / "kept")
    assert "a.png" not in str(caught.value)
    assert "a.png" in caplog.text


def test_a_folder_that_changed_is_read_again(folder, tmp_path):
    before = folder_set(folder, 16, tmp_path / "kept")
    (folder / "images/a.png").write_bytes(encode_png(np.full((9, 9), 99, dtype=np.uint8)))
    after = folder_set(folder, 16, tmp_path / "kept")
    assert after.pixels[0, 0, 0] == 99
    assert before.facts["digest"] != after.facts["digest"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "images/a.png").write_bytes(b"no"), "has an image that cannot"),
        (lambda folder: [p.unlink() for p in folder.rglob("*.png")], "holds no image"),
        (lambda folder: folder.rename(folder.with_name("other")), "is no folder"),
    ],
)
def test_what_is_of_no_use_is_refused_in_one_line(folder, tmp_path, one_line_error, spoil, said):
    spoil(folder)
    message = one_line_error(folder_set, folder, 16, tmp_path / "kept")
    assert said in message
    assert "a.png" not in message


def test_the_log_names_the_image_that_cannot_be_read(folder, tmp_path, caplog):
    (folder / "images/a.png").write_bytes(b"no")
    with pytest.raises(ValueError, match="the log names it"):
        folder_set(folder, 16, tmp_path / "kept")
    assert "a.png" in caplog.text
