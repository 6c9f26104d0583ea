import base64
from pathlib import Path

import cv2
import numpy as np
import pytest
from kedro.io import DataCatalog, DatasetError

from cxr_pipeline.cli import root_message
from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.data.plan import plan_store
from cxr_pipeline.data.store import MANIFEST
from cxr_pipeline.data.transforms import Transform
from cxr_pipeline.datasets import ImageStoreDataset


@pytest.fixture
def plan(few_images: Path):
    labels = read_labels(few_images).assign(split="train")

    def make(size: int = 16, **changes):
        settings = {"shard_size": 20, "max_pixels": 100_000, "max_quarantined": 0, "workers": 2}
        how = Transform(size, equalise=True)
        return plan_store(labels, few_images, how=how, **settings | changes)

    return make


@pytest.fixture
def catalog(tmp_path: Path) -> DataCatalog:
    entry = {
        "type": "cxr_pipeline.datasets.ImageStoreDataset",
        "filepath": str(tmp_path / "images"),
        "versioned": True,
    }
    return DataCatalog.from_config({"images": entry})


def test_a_saved_plan_loads_as_the_store_it_describes(catalog, plan):
    catalog.save("images", plan())
    store = catalog.load("images")
    assert len(store) == 48
    assert store.size == 16


def test_a_version_is_the_digest_of_what_it_was_made_from(catalog, plan, tmp_path):
    catalog.save("images", plan())
    catalog.save("images", plan())
    assert [path.name for path in (tmp_path / "images").iterdir()] == [plan().version()]


def test_the_version_saved_in_this_run_is_loaded_though_another_is_newer(catalog, plan, tmp_path):
    catalog.save("images", plan(size=16))
    other = ImageStoreDataset(str(tmp_path / "images"))
    other.save(plan(size=24))
    assert catalog.load("images").size == 16
    assert ImageStoreDataset(str(tmp_path / "images")).load().size == 24
    catalog.save("images", plan(size=16))
    # Reused last, so loaded by who names no version.
    assert ImageStoreDataset(str(tmp_path / "images")).load().size == 16


def test_a_version_can_be_asked_for(catalog, plan):
    catalog.save("images", plan(size=16))
    wanted = plan(size=16).version()
    catalog.save("images", plan(size=24))
    assert catalog.load("images", version=wanted).size == 16


def test_a_version_that_is_not_there_is_named_with_the_remedy(catalog, plan, tmp_path):
    catalog.save("images", plan())
    with pytest.raises(DatasetError) as caught:
        catalog.load("images", version="absent")
    said = root_message(caught.value)
    assert f"'{tmp_path / 'images' / 'absent'}' holds no finished image store" in said
    assert "kedro run --pipeline=preprocessing" in said


def test_a_store_exists_once_it_is_finished(catalog, plan, tmp_path):
    catalog.save("images", plan())
    assert catalog.exists("images")
    (tmp_path / "images" / plan().version() / MANIFEST).unlink()
    assert not catalog.exists("images")


def test_a_damaged_store_is_named_by_loading_and_mended_by_saving(catalog, plan, tmp_path):
    catalog.save("images", plan())
    digest = catalog.load("images").digest
    shard = tmp_path / "images" / plan().version() / "shard_00001.npy"
    shard.write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        catalog.load("images")
    assert "shard_00001.npy is damaged" in root_message(caught.value)
    catalog.save("images", plan())
    assert catalog.load("images").digest == digest


def test_a_plan_that_asks_for_it_verifies_the_store_that_is_there(catalog, plan, tmp_path):
    catalog.save("images", plan())
    digest = catalog.load("images").digest
    shard = tmp_path / "images" / plan().version() / "shard_00001.npy"
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    catalog.save("images", plan())
    assert shard.read_bytes() != data
    catalog.save("images", plan(verify=True))
    assert shard.read_bytes() == data
    assert catalog.load("images").digest == digest


def test_without_a_store_the_command_that_makes_one_is_named(catalog):
    assert not catalog.exists("images")
    with pytest.raises(DatasetError, match="kedro run --pipeline=preprocessing"):
        catalog.load("images")


def test_the_preview_is_a_picture_for_kedro_viz(catalog, plan):
    catalog.save("images", plan())
    dataset = catalog.get("images")
    assert dataset.preview.__annotations__["return"].__name__ == "ImagePreview"
    data = np.frombuffer(base64.b64decode(dataset.preview()), np.uint8)
    # Three rows of eight pictures of 16 pixels, two pixels apart.
    assert cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).shape == (3 * 18 - 2, 8 * 18 - 2)
