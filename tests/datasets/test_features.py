import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from kedro.io import DataCatalog, DatasetError
from tests.conftest import make_store

from cxr_pipeline.cli import root_message
from cxr_pipeline.training.feature_cache import MANIFEST, FeaturePlan

CATALOG = Path(__file__).resolve().parents[2] / "conf/base/catalog.yml"


@pytest.fixture(scope="module")
def images(few_images, tmp_path_factory):
    return make_store(few_images, tmp_path_factory.mktemp("images"), ["train", "validation"])


@pytest.fixture
def plan(images):
    """A plan that takes no time: an encoder that learns has no features to compute."""
    return FeaturePlan(
        images=images,
        encoder="vgg16",
        normalise=True,
        weights=None,
        seed=0,
        accelerator="cpu",
        precision="32-true",
        frozen=False,
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "features"


@pytest.fixture
def catalog(folder):
    """The project's own entry, in a folder of one's own."""
    entry = yaml.safe_load(CATALOG.read_text())["gmvae.features"]
    return DataCatalog.from_config({"features": entry | {"filepath": str(folder)}})


def versions(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_saved_plan_loads_as_the_features_it_describes(catalog, plan, images, folder):
    catalog.save("features", dataclasses.replace(plan, frozen=True))
    features = catalog.load("features")
    assert features.read(images, np.arange(2)).shape == (2, 512, 7, 7)
    assert features.encoder["name"] == "vgg16"
    assert versions(folder) == [features.version]


def test_equal_plans_are_one_version_and_others_another(catalog, plan, folder):
    for each in (plan, plan, dataclasses.replace(plan, seed=1)):
        catalog.save("features", each)
    assert len(versions(folder)) == 2
    # The one saved last is loaded, and the one before it can be asked for.
    loaded = catalog.load("features").version
    (other,) = set(versions(folder)) - {loaded}
    catalog.save("features", plan)
    assert catalog.load("features").version == other
    assert catalog.load("features", version=loaded).version == loaded


def test_absent_features_are_named_with_the_remedy(catalog, folder, plan):
    assert not catalog.exists("features")
    with pytest.raises(DatasetError) as caught:
        catalog.load("features")
    said = root_message(caught.value)
    assert said == f"no features in '{folder}': run `kedro run --pipeline=gmvae`"
    catalog.save("features", plan)
    with pytest.raises(DatasetError) as caught:
        catalog.load("features", version="absent")
    assert f"'{folder / 'absent'}' holds no finished features" in root_message(caught.value)


def test_features_exist_once_they_are_finished(catalog, plan, folder):
    catalog.save("features", plan)
    assert catalog.exists("features")
    (folder / versions(folder)[0] / MANIFEST).unlink()
    assert not catalog.exists("features")
