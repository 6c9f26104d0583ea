import numpy as np
import pytest
from tests.data.stores import refusal

from cxr_pipeline.data.labelled_sheets import (
    GAP,
    LABEL_WIDTH,
    MARGIN,
    SIDE,
    LabelledImages,
    labelled_sheet,
)

LEFT = MARGIN + LABEL_WIDTH


def sheet_of(images, rows=None, columns=None, caption=""):
    rows = rows or ("",) * images.shape[0]
    columns = columns or ("",) * images.shape[1]
    return labelled_sheet(LabelledImages(images, tuple(rows), tuple(columns), caption))


def noise(rows, columns, height, width):
    rng = np.random.default_rng(0)
    return rng.integers(1, 256, (rows, columns, height, width), dtype=np.uint8)


def images_on(sheet, rows, columns, height, width):
    """The images cut out again; they end a margin above the sheet's lower edge."""
    top = len(sheet) - MARGIN - rows * (height + GAP) + GAP
    return np.array(
        [
            [
                sheet[top + r * (height + GAP) :, LEFT + c * (width + GAP) :][:height, :width]
                for c in range(columns)
            ]
            for r in range(rows)
        ]
    )


@pytest.mark.parametrize("shape", [(1, 1, 90, 90), (2, 3, 100, 80), (3, 2, 128, 128)])
def test_every_image_is_in_its_row_and_column_with_no_letter_on_it(shape):
    images = noise(*shape)
    long = "Calcification of the Aorta"
    sheet = sheet_of(images, [long] * shape[0], [long] * shape[1], "What is to be seen. " * 5)
    assert sheet.dtype == np.uint8
    assert np.array_equal(images_on(sheet, *shape), images)


def test_without_texts_all_but_the_images_is_black():
    images = noise(2, 2, 60, 60)
    assert np.count_nonzero(sheet_of(images)) == images.size


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ({"caption": "caption"}, np.s_[:28]),
        ({"columns": ["", "head"]}, np.s_[28:60, LEFT + 64 :]),
        ({"rows": ["", "side"]}, np.s_[-70:, :LEFT]),
    ],
)
def test_each_text_stands_where_it_belongs(text, place):
    images = np.zeros((2, 2, 60, 60), dtype=np.uint8)
    sheet = sheet_of(images, **text)
    assert np.count_nonzero(sheet) > 20
    assert np.count_nonzero(sheet[place]) == np.count_nonzero(sheet)


def test_a_long_caption_makes_the_sheet_higher_and_no_wider():
    images = noise(1, 2, 60, 60)
    short, long = sheet_of(images, caption="a"), sheet_of(images, caption="a word " * 40)
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0]


@pytest.mark.parametrize("side", [64, 100, SIDE])
def test_the_longest_finding_stands_above_its_column_and_above_no_other(side):
    images = np.zeros((1, 2, side, side), dtype=np.uint8)
    longest = "Pneumomediastinum"
    left, right = (sheet_of(images, columns=columns) for columns in ((longest, ""), ("", longest)))
    assert np.count_nonzero(left) == np.count_nonzero(left[:, LEFT : LEFT + side]) > 20
    # Not cut off at the sheet's edge either: the same letters.
    apart = np.s_[:, LEFT + side + GAP : LEFT + 2 * side + GAP]
    assert np.array_equal(right[apart], left[:, LEFT : LEFT + side])


def test_a_word_too_wide_for_the_rows_labels_is_on_no_image():
    images = noise(2, 1, 60, 60)
    sheet = sheet_of(images, rows=["Pneumomediastinum", "Pneumoperitoneum\n12 images"])
    assert np.array_equal(images_on(sheet, 2, 1, 60, 60), images)
    assert np.count_nonzero(sheet[:, LEFT - MARGIN : LEFT]) == 0


def test_large_images_are_shown_smaller():
    image = np.kron(noise(1, 1, 112, 56)[0, 0], np.ones((4, 4), dtype=np.uint8))
    sheet = sheet_of(image[None, None])
    shown = images_on(sheet, 1, 1, SIDE, SIDE // 2)[0, 0]
    assert sheet.shape[1] == LEFT + SIDE // 2 + MARGIN
    assert shown.mean() == pytest.approx(image.mean(), abs=0.5)


def test_labels_must_be_as_many_as_rows_and_columns():
    message = refusal(sheet_of, noise(2, 3, 8, 8), ["a", "b"], ["c", "d"])
    assert message.startswith("labels of (2, 2) rows and columns for (2, 3) of images")
