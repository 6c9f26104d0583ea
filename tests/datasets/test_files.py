import base64
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io import DatasetError

from cxr_pipeline.data.raw_folder import RawFolder
from cxr_pipeline.datasets import (
    FolderDataset,
    PictureDataset,
    PicturesDataset,
    RawFolderDataset,
)
from cxr_pipeline.datasets.picture import GAP
from cxr_pipeline.datasets.weights import WeightsDataset


def test_a_picture_comes_back_as_it_was_saved(tmp_path: Path):
    picture = np.arange(48, dtype=np.uint8).reshape(6, 8)
    dataset = PictureDataset(str(tmp_path / "new/picture.png"))
    assert not dataset.exists()
    dataset.save(picture)
    assert np.array_equal(dataset.load(), picture)


def test_pictures_replace_those_of_an_earlier_run(tmp_path: Path):
    first, second = np.arange(48, dtype=np.uint8).reshape(2, 4, 6)
    dataset = PicturesDataset(str(tmp_path / "new/latents"))
    assert not dataset.exists()
    dataset.save({"findings": first, "interpolations": first})
    dataset.save({"temperatures": first, "interpolations": second[:, :3]})
    loaded = dataset.load()
    assert list(loaded) == ["interpolations", "temperatures"]
    assert np.array_equal(loaded["interpolations"], second[:, :3])
    assert np.array_equal(loaded["temperatures"], first)
    assert len(list((tmp_path / "new/latents").iterdir())) == 2


def test_a_preview_shows_all_pictures_below_one_another(tmp_path: Path):
    pictures = {"a": np.full((4, 6), 50, np.uint8), "b": np.full((2, 3), 90, np.uint8)}
    dataset = PicturesDataset(str(tmp_path))
    dataset.save(pictures)
    png = np.frombuffer(base64.b64decode(dataset.preview()), np.uint8)
    shown = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE)
    assert shown is not None
    assert (shown[:4] == 50).all()
    assert (shown[4 + GAP : 6 + GAP, :3] == 90).all()
    assert np.count_nonzero(shown) == 30


def test_weights_come_back_to_the_bit(tmp_path: Path):
    weights = {"a.weight": torch.randn(3, 2), "a.steps": torch.tensor(7)}
    dataset = WeightsDataset(str(tmp_path / "weights.safetensors"))
    dataset.save(weights)
    loaded = dataset.load()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())


def test_weights_may_be_read_by_whoever_may_read_other_files(tmp_path: Path):
    (tmp_path / "other").touch()
    WeightsDataset(str(tmp_path / "weights.safetensors")).save({"a": torch.ones(1)})
    assert (tmp_path / "weights.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "weights.safetensors"]


def test_a_folder_is_made_when_it_is_loaded_and_cannot_be_saved(tmp_path: Path):
    dataset = FolderDataset(str(tmp_path / "progress"))
    assert not dataset.exists()
    assert dataset.load().is_dir()
    with pytest.raises(DatasetError, match="written to by the nodes"):
        dataset.save("anything")


def test_a_raw_folder_loads_as_its_path(tmp_path: Path):
    dataset = RawFolderDataset(str(tmp_path / "raw"))
    table = pd.DataFrame({"Image Index": ["a.png"]})
    dataset.save(RawFolder("labels.csv", table, [("a.png", b"bytes")], {}))
    assert (dataset.load() / "images/a.png").read_bytes() == b"bytes"
