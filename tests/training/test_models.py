"""All nine versions of the GMVAE as configured: built, trained, rebuilt and asked for images."""

import math
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from tests.table_4 import TABLE_4

from cxr_pipeline.data.findings import FINDINGS
from cxr_pipeline.parameters.models import GmvaeParameters
from cxr_pipeline.pipelines.training.nodes import plan_features
from cxr_pipeline.training.feature_cache import build_encoder, build_features
from cxr_pipeline.training.models import MODELS
from cxr_pipeline.training.run import train_on_store
from cxr_pipeline.training.sampling import ImageGenerator

CONFIGURATION = Path(__file__).resolve().parents[2] / "conf/base/parameters_gmvae.yml"
SECTION = yaml.safe_load(CONFIGURATION.read_text())["gmvae"]
BRIEF = {"max_steps": 2, "batch_size": 2, "sample_at": [], "accelerator": "cpu"}


@pytest.fixture(scope="module")
def feature_caches(tmp_path_factory):
    """Where versions with the same encoder share its features."""
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def train(store_224, feature_caches, tmp_path):
    def train(version, **changes):
        own = {"version": version, "precision": "32-true", **BRIEF, **changes}
        parameters = GmvaeParameters(**SECTION | own)
        return train_on_store(
            "gmvae",
            store_224,
            parameters.model_dump(mode="json"),
            checkpoints=tmp_path / "checkpoint",
            progress=tmp_path / "progress",
            on_metrics=lambda step, metrics: None,
            on_sheet=lambda step, sheet: None,
            features=build_features(plan_features(store_224, parameters), feature_caches),
        )

    yield train
    # With a linear decoder it is 1.4 GB.
    shutil.rmtree(tmp_path / "checkpoint")


def test_the_configuration_has_the_nine_rows_of_table_4():
    assert SECTION["versions"].keys() == TABLE_4.keys()


@pytest.mark.parametrize("version", SECTION["versions"])
def test_every_version_trains_and_draws(train, version):
    trained = train(version)
    row = TABLE_4[version]
    built = trained.config["architecture"]
    assert built | {"findings": len(built["findings"])} == row | {"fine_tune": False}
    losses = trained.history.query("metric.str.startswith('loss/')")
    assert losses.groupby("metric")["step"].apply(list).to_dict() == {
        name: [1, 2] for name in ("loss/kl", "loss/reconstruction", "loss/total")
    }
    assert trained.history["value"].map(math.isfinite).all()
    assert all(torch.isfinite(tensor).all() for tensor in trained.weights.values())
    assert trained.config["encoder"]["name"] == row["encoder"]
    # Two held-out images, each above what became of it.
    assert trained.reconstructions.shape[0] > 2 * 224

    generator = ImageGenerator(trained.config, trained.weights)
    if row["findings"]:
        assert set(generator.findings) == set(FINDINGS)
        images = generator.sample(2, findings=["Cardiomegaly"])
        assert not torch.equal(generator.sample(2, findings=["Mass"]), images)
    else:
        images = generator.sample(2)
        with pytest.raises(ValueError, match="a version fs_"):
            generator.sample(2, findings=["Cardiomegaly"])
    assert images.shape == (2, 1, 224, 224)
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std() > 0


def test_a_version_is_fine_tuned_encoder_and_all(train):
    trained = train("v4", fine_tune=True, max_steps=1)
    assert trained.config["architecture"]["fine_tune"]
    before, record = build_encoder("vgg16", normalise=True, weights=None, seed=SECTION["seed"])
    assert trained.config["encoder"] == record
    for name, weight in before.named_parameters():
        assert not torch.equal(trained.weights[f"gmvae.encoder.{name}"], weight), name
    images = ImageGenerator(trained.config, trained.weights).sample(1)
    assert images.shape == (1, 1, 224, 224)


def test_the_table_of_models_offers_what_training_needs():
    assert {name: model.IMAGE_SIZE for name, model in MODELS.items()} == {
        "vae": 128,
        "gmvae": 224,
        "gan": 128,
    }
