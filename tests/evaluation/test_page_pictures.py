import base64
import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cxr_pipeline.data.sheets import image_sheet
from cxr_pipeline.evaluation.page_pictures import (
    LONGEST_SIDE,
    chart_picture,
    first_row,
    picture,
    rows_of,
)


def pixels(picture):
    kind, data = picture.source.split(",", 1)
    assert kind == "data:image/webp;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.size == (picture.width, picture.height)
    return np.asarray(image.convert("L")).astype(int)


@pytest.fixture
def save(tmp_path):
    def save(sheet):
        path = tmp_path / "sheet.png"
        Image.fromarray(sheet).save(path)
        return path

    return save


@pytest.fixture
def images():
    """Ten smooth images of 16 px, each of another level."""
    ramp = np.add.outer(np.arange(16), np.arange(16))
    return np.stack([ramp + 20 * number for number in range(10)]).astype(np.uint8)


def test_a_picture_looks_the_same(save, images):
    sheet = image_sheet(images, columns=8)
    shown = pixels(picture(save(sheet)))
    assert shown.shape == sheet.shape
    assert np.abs(shown - sheet).mean() < 2


def test_the_first_images_of_a_sheet(save, images):
    path = save(image_sheet(images, columns=8))
    row = pixels(first_row(path, 16))
    assert row.shape == (16, 8 * 18 - 2)
    four = pixels(first_row(path, 16, columns=4))
    assert four.shape == (16, 4 * 18 - 2)
    assert np.abs(four[:, -16:] - images[3]).mean() < 3


def test_first_images_of_a_sheet_that_has_fewer(save, images):
    assert pixels(first_row(save(image_sheet(images[:2], columns=8)), 16, columns=4)).shape == (
        16,
        34,
    )


def test_rows_of_one_height_apart(save):
    sheet = np.repeat(np.array([[40], [120], [200]], dtype=np.uint8), 10, axis=0).repeat(30, axis=1)
    rows = [pixels(row) for row in rows_of(save(sheet), 3)]
    assert [row.shape for row in rows] == [(10, 30)] * 3
    assert [round(row.mean(), -1) for row in rows] == [40, 120, 200]


def test_a_sheet_too_large_for_browsers_is_shrunk(save):
    tall = picture(save(np.zeros((2 * LONGEST_SIDE, 10), dtype=np.uint8)))
    assert (tall.width, tall.height) == (5, LONGEST_SIDE)


def test_colours_stay(tmp_path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "red.png")
    data = picture(tmp_path / "red.png").source.split(",", 1)[1]
    red, green, _ = Image.open(io.BytesIO(base64.b64decode(data))).getpixel((2, 2))
    assert red > 200
    assert green < 60


def test_a_chart_is_carried_without_loss():
    figure = Figure(figsize=(2, 1), facecolor="white")
    figure.subplots().plot([1, 2])
    shown = pixels(chart_picture(figure))
    assert shown.shape == (120, 240)
    assert shown[0, 0] == 255


def test_what_is_not_there_is_none(tmp_path):
    assert picture(tmp_path / "no.png") is first_row(tmp_path / "no.png", 16) is None
    assert list(rows_of(tmp_path / "no.png", 3)) == []
