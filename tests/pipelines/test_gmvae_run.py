"""`kedro run --pipeline=gmvae`, twice for real: an FS version, its features, its findings."""

import json
import os

import mlflow
import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from tests.conftest import TEN_SPLIT, Project, read_picture
from tests.data.stores import contents

from cxr_pipeline.data.findings import FINDINGS
from cxr_pipeline.models.digest import weights_digest

PARAMETERS = (
    "gmvae.version=fs_v3,gmvae.max_steps=2,gmvae.batch_size=2,gmvae.samples=3,"
    f"gmvae.precision=32-true,gmvae.sample_findings=Cardiomegaly|Effusion,{TEN_SPLIT}"
)
FEATURES = "05_model_input/features"
STORES = "02_intermediate/images_224"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, ten_images):
    """A project after two equal runs."""
    project = Project(tmp_path_factory.mktemp("project"))
    command = ["--pipeline=gmvae", f"--params=raw_dir={ten_images},{PARAMETERS}"]
    project.data = project.folder / "data"
    project.first = project.run(*command)
    assert project.first.returncode == 0, project.first.stderr
    project.kept = made_before(project)
    project.weights = (project.data / "06_models/gmvae/weights.safetensors").read_bytes()
    for shard in project.data.rglob("shard_*"):
        os.utime(shard, ns=(0, 0))
    project.second = project.run(*command)
    assert project.second.returncode == 0, project.second.stderr
    return project


def made_before(project):
    """The store's and the features' files by version."""
    return {
        folder.relative_to(project.data): contents(folder)
        for place in (STORES, FEATURES)
        for folder in (project.data / place).iterdir()
    }


@pytest.fixture
def config(finished):
    return json.loads((finished.data / "06_models/gmvae/config.json").read_text())


@pytest.mark.parametrize(
    "path",
    [
        "06_models/gmvae/weights.safetensors",
        "06_models/gmvae/config.json",
        "06_models/gmvae/checkpoint/000002_step_2.safetensors",
        "07_model_output/gmvae/provenance.json",
        "08_reporting/gmvae/samples.png",
        "08_reporting/gmvae/losses.png",
        "08_reporting/gmvae/reconstructions.png",
        "08_reporting/gmvae/history.csv",
        "08_reporting/gmvae/latents/components.png",
        "08_reporting/gmvae/latents/directions.png",
        "08_reporting/gmvae/latents/findings.png",
        "08_reporting/gmvae/latents/interpolations.png",
        "08_reporting/gmvae/latents/neighbours.png",
        "08_reporting/gmvae/latents/temperatures.png",
        "08_reporting/gmvae/progress/step_000000.png",
        "08_reporting/gmvae/progress/step_000002.png",
        "08_reporting/parameter_counts.csv",
        "08_reporting/gmvae_versions.csv",
        "08_reporting/layers_decoder_1.csv",
        "08_reporting/layers_decoder_2.csv",
        "08_reporting/training_times.csv",
        "08_reporting/class_counts.csv",
        "08_reporting/transformed_images.png",
        "08_reporting/report.html",
    ],
)
def test_every_file_of_the_contract_is_there(finished, path):
    assert (finished.data / path).stat().st_size > 0


def test_the_second_run_reuses_store_and_features_and_repeats_to_the_bit(finished):
    assert made_before(finished) == finished.kept
    assert len(finished.kept) == 2
    shards = list(finished.data.rglob("shard_*"))
    assert len(shards) == 3  # the images', their record, the features'
    assert {shard.stat().st_mtime_ns for shard in shards} == {0}
    assert "Computing the features of 10 images by vgg16" in finished.first.stderr
    assert "Computing the features" not in finished.second.stderr
    assert "Features are up to date" in finished.second.stderr
    weights = (finished.data / "06_models/gmvae/weights.safetensors").read_bytes()
    assert weights == finished.weights


def test_no_store_of_another_size_is_built(finished):
    assert not (finished.data / "02_intermediate/images").exists()
    (manifest,) = (finished.data / STORES).glob("*/manifest.json")
    assert json.loads(manifest.read_text())["parameters"]["size"] == 224


def test_the_features_are_of_the_version_s_encoder(finished):
    (manifest,) = (finished.data / FEATURES).glob("*/manifest.json")
    features = json.loads(manifest.read_text())
    assert (features["images"], features["shape"]) == (10, [512, 7, 7])
    assert features["encoder"]["name"] == "vgg16"


def test_the_configuration_says_which_version_encoder_and_weights(finished, config):
    assert config["model"] == "gmvae"
    assert config["architecture"] == {
        "dim_z": 1000,
        "components": 50,
        "transition": True,
        "normalise": True,
        "encoder": "vgg16",
        "decoder": "1",
        "fine_tune": False,
        "findings": list(FINDINGS),
    }
    assert config["encoder"]["weights"] == "random"
    assert len(config["encoder"]["sha256"]) == 64
    assert config["parameters"]["version"] == "fs_v3"
    assert config["training_images"] == 6
    assert sum(config["training_labels"].values()) == 6
    weights = load_file(finished.data / "06_models/gmvae/weights.safetensors")
    assert config["weights_sha256"] == weights_digest(weights)
    # A frozen encoder is not among them.
    assert not [name for name in weights if name.startswith("gmvae.encoder")]


def test_the_synthetic_images_carry_the_findings_asked_for(finished):
    folder = finished.data / "07_model_output/gmvae"
    table = pd.read_csv(next(folder.glob("*.csv")))
    assert list(table["Image Index"]) == [f"gmvae_{number:06d}.png" for number in range(3)]
    assert set(table["Finding Labels"]) == {"Cardiomegaly|Effusion"}
    assert read_picture(folder / "images/gmvae_000002.png").shape == (224, 224)
    # Three samples in a row, two pixels apart, as they are in the data set.
    sheet = read_picture(finished.data / "08_reporting/gmvae/samples.png")
    assert sheet.shape == (224, 3 * 226 - 2)
    assert np.array_equal(sheet[:, 452:], read_picture(folder / "images/gmvae_000002.png"))


def test_the_synthetic_images_can_be_preprocessed_as_any_others(finished, project):
    folder = finished.data / "07_model_output/gmvae"
    again = project.run("--pipeline=preprocessing", f"--params=raw_dir={folder}")
    assert again.returncode == 0, again.stderr
    assert "3 images kept, 0 quarantined" in again.stderr
    counts = pd.read_csv(project.folder / "data/08_reporting/class_counts.csv")
    counts = dict(zip(counts["finding"], counts["count"], strict=True))
    assert (counts["Cardiomegaly"], counts["Effusion"], counts["No Finding"]) == (3, 3, 0)


def test_the_history_holds_losses_and_how_the_mixture_is_used(finished):
    history = pd.read_csv(finished.data / "08_reporting/gmvae/history.csv")
    steps = history.groupby("metric")["step"].apply(list).to_dict()
    for name in ("loss/total", "loss/reconstruction", "loss/kl", "gradient/gmvae"):
        assert steps[name] == [1, 2]
    for name in (
        "validation/loss",
        "latent/active_units",
        "latent/components_in_use",
        "latent/component_entropy",
        "quality/reconstruction_rmse",
    ):
        assert steps[name] == [2]
    assert np.isfinite(history["value"]).all()


def test_reconstructions_stand_below_their_originals(finished):
    sheet = read_picture(finished.data / "08_reporting/gmvae/reconstructions.png")
    (folder,) = (finished.data / STORES).iterdir()
    index = pd.read_parquet(folder / "index.parquet")
    row = index[index["split"] == "validation"].iloc[0]
    pixels = np.load(folder / f"shard_{row['shard']:05d}.npy")[row["row"]]
    assert np.array_equal(sheet[:224, :224], pixels)


def test_training_times_and_layers_stand_beside_the_paper_s(finished):
    times = pd.read_csv(finished.data / "08_reporting/training_times.csv")
    assert times["model"].tolist() == ["gmvae, frozen"]
    assert times["paper_minutes_per_epoch"].tolist() == [30]
    versions = pd.read_csv(finished.data / "08_reporting/gmvae_versions.csv")
    assert len(versions) == 9


def test_mlflow_keeps_parameters_metrics_and_pictures(finished):
    client = mlflow.MlflowClient(finished.database)
    (experiment,) = client.search_experiments(filter_string="name = 'cxr_pipeline'")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    run = runs[0]
    assert run.data.params["version"] == "fs_v3"
    assert run.data.params["row.decoder"] == "1"
    assert {"loss/total", "validation/loss", "latent/components_in_use"} <= run.data.metrics.keys()
    samples = {item.path for item in client.list_artifacts(run.info.run_id, "samples")}
    assert samples == {
        "samples/samples.png",
        "samples/reconstructions.png",
        "samples/latents",
    }


def test_nothing_is_warned_of(finished):
    for run in (finished.first, finished.second):
        output = run.stdout + run.stderr
        assert [line for line in output.splitlines() if "warn" in line.lower()] == []
