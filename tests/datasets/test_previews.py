"""What Kedro-Viz shows, and that it is quiet about what is not made yet."""

import base64
import json
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from cxr_pipeline.data.png import encode_png
from cxr_pipeline.data.raw_folder import RawFolder
from cxr_pipeline.datasets import (
    FolderDataset,
    ImageStoreDataset,
    PictureDataset,
    ProgressDataset,
    RawFolderDataset,
)
from cxr_pipeline.datasets.atomic import CSVDataset, JSONDataset, PageDataset
from cxr_pipeline.datasets.atomic_chart import ChartDataset
from cxr_pipeline.datasets.weights import WeightsDataset


def kind(dataset):
    """The name that Kedro-Viz goes by."""
    return type(dataset).preview.__annotations__["return"].__name__


def picture(preview):
    data = np.frombuffer(base64.b64decode(preview), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


@pytest.mark.parametrize(
    ("kind_of_dataset", "shown"),
    [
        (ChartDataset, "ImagePreview"),
        (CSVDataset, "TablePreview"),
        (FolderDataset, "TablePreview"),
        (ImageStoreDataset, "ImagePreview"),
        (JSONDataset, "JSONPreview"),
        (PageDataset, "HTMLPreview"),
        (PictureDataset, "ImagePreview"),
        (ProgressDataset, "ImagePreview"),
        (RawFolderDataset, "ImagePreview"),
        (WeightsDataset, "TablePreview"),
    ],
)
def test_what_is_not_made_yet_shows_nothing(kind_of_dataset, shown, tmp_path: Path):
    dataset = kind_of_dataset(filepath=str(tmp_path / "not/there"))
    assert dataset.preview() is None
    assert kind(dataset) == shown
    assert not (tmp_path / "not").exists()


def test_a_picture_shows_as_it_is(tmp_path: Path):
    dataset = PictureDataset(str(tmp_path / "picture.png"))
    dataset.save(np.arange(48, dtype=np.uint8).reshape(6, 8))
    assert np.array_equal(picture(dataset.preview()), dataset.load())


def test_a_chart_shows_as_a_picture(tmp_path: Path):
    dataset = ChartDataset(filepath=str(tmp_path / "chart.png"))
    figure, _ = plt.subplots(figsize=(2, 1), dpi=50)
    dataset.save(figure)
    plt.close(figure)
    assert picture(dataset.preview()).shape == (50, 100)


def test_a_long_table_shows_its_first_rows(tmp_path: Path):
    dataset = CSVDataset(filepath=str(tmp_path / "table.csv"), save_args={"index": False})
    dataset.save(pd.DataFrame({"step": range(10_000), "value": 0.5}))
    assert dataset.preview()["data"] == [[step, 0.5] for step in range(25)]
    assert dataset.preview(nrows=3)["index"] == [0, 1, 2]
    assert len(dataset.load()) == 10_000


def test_a_configuration_shows_whole(tmp_path: Path):
    dataset = JSONDataset(filepath=str(tmp_path / "config.json"))
    dataset.save({"model": "gan", "steps": 3})
    assert json.loads(dataset.preview()) == {"model": "gan", "steps": 3}


def test_weights_show_their_tensors_and_how_many_numbers_they_hold(tmp_path: Path):
    dataset = WeightsDataset(str(tmp_path / "weights.safetensors"))
    dataset.save({"a.10": torch.ones(300, 5), "a.2": torch.tensor(7)})
    shown = dataset.preview()
    assert shown["columns"] == ["tensor", "shape", "type", "numbers"]
    assert shown["data"][0] == ["all", "", "", "1,501"]
    assert shown["data"][1:] == [["a.2", "", "I64", "1"], ["a.10", "300 x 5", "F32", "1,500"]]


def test_a_folder_shows_what_is_in_it_and_how_much(tmp_path: Path):
    (tmp_path / "gan/deep").mkdir(parents=True)
    (tmp_path / "gan/deep/weights").write_bytes(bytes(1_200_000))
    (tmp_path / "gan/config").write_bytes(b"")
    (tmp_path / "report.html").write_bytes(b"")
    assert FolderDataset(str(tmp_path)).preview()["data"] == [
        ["gan/", 2, "1.2"],
        ["report.html", 1, "0.0"],
    ]


def test_progress_shows_the_first_row_of_each_sheet_under_its_step(tmp_path: Path):
    # Two rows of eight pictures of 4 pixels, two pixels apart.
    for step, level in ((400, 200), (0, 50)):
        sheet = np.full((10, 46), level, dtype=np.uint8)
        (tmp_path / f"step_{step:06d}.png").write_bytes(encode_png(sheet))
    shown = picture(ProgressDataset(str(tmp_path)).preview())
    label, row = 26, 6
    assert shown.shape == (2 * (label + row), 46)
    assert (shown[label : label + row] == 50).all()
    assert (shown[-row:] == 200).all()
    assert shown[:label].max() > 0


def test_a_raw_folder_shows_its_first_images_and_no_larger_than_need_be(tmp_path: Path):
    def images():
        for number in range(30):
            yield f"{number:02d}.png", encode_png(np.full((256, 512), 8 * number, np.uint8))

    table = pd.DataFrame({"Image Index": ["00.png"]})
    dataset = RawFolderDataset(str(tmp_path))
    dataset.save(RawFolder("labels.csv", table, images(), {}))
    shown = picture(dataset.preview())
    # Three rows of eight pictures of 128 x 64, two pixels apart.
    assert shown.shape == (3 * 66 - 2, 8 * 130 - 2)
    assert shown[0, ::130].tolist() == [8 * number for number in range(8)]


def test_a_page_shows_where_it_is_and_its_headings(tmp_path: Path):
    dataset = PageDataset(filepath=str(tmp_path / "report.html"))
    dataset.save(
        "<style>h1 {}</style><h1>The <em>report</em></h1><p>x<h2>Loss &lt; 1</h2><h3>no</h3>"
    )
    shown = dataset.preview()
    assert "<li>The report</li><li>Loss &lt; 1</li></ul>" in shown
    assert str(tmp_path / "report.html") in shown
    assert "style" not in shown
