"""`kedro run --pipeline=vae`, once for real: every file of the contract, and what MLflow keeps."""

import json
import re

import mlflow
import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from tests.conftest import Project, read_picture

# Of so few patients a tenth would be none to validate on.
PARAMETERS = (
    "vae.max_steps=3,vae.batch_size=4,vae.samples=5,vae.precision=32-true,vae.beta=0.1,"
    "labels.validation=0.4"
)

LATENTS = "data/08_reporting/vae/latents"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, few_images):
    project = Project(tmp_path_factory.mktemp("project"))
    result = project.run("--pipeline=vae", f"--params=raw_dir={few_images},{PARAMETERS}")
    assert result.returncode == 0, result.stderr
    return project


@pytest.fixture
def config(finished):
    return json.loads((finished.folder / "data/06_models/vae/config.json").read_text())


@pytest.fixture
def history(finished):
    return pd.read_csv(finished.folder / "data/08_reporting/vae/history.csv")


@pytest.fixture
def reports(finished):
    return finished.folder / "data/08_reporting"


@pytest.mark.parametrize(
    "path",
    [
        "06_models/vae/weights.safetensors",
        "06_models/vae/config.json",
        "07_model_output/vae/provenance.json",
        "08_reporting/parameter_counts.csv",
        "08_reporting/training_times.csv",
        "08_reporting/report.html",
        "08_reporting/vae/losses.png",
        "08_reporting/vae/progress/step_000000.png",
        "08_reporting/vae/progress/step_000003.png",
    ],
)
def test_every_file_of_the_contract_is_there(finished, path):
    assert (finished.folder / "data" / path).stat().st_size > 0


def test_samples_are_drawn_from_the_prior_and_from_the_mixture(reports):
    samples = read_picture(reports / "vae/samples.png")
    assert samples.shape == (128, 5 * 130 - 2)
    both = read_picture(reports / "vae/samplers.png")
    height = 4 * 130 - 2
    assert both.shape == (2 * height + 4, 8 * 130 - 2)
    assert (both[height : height + 4] == 255).all()  # the line
    # What is drawn after training is drawn from the mixture, below the line.
    assert np.array_equal(both[height + 4 : height + 132, : samples.shape[1]], samples)
    assert not np.array_equal(both[:128, : samples.shape[1]], samples)


def test_reconstructions_stand_below_the_validation_images(finished, reports):
    labels = pd.read_parquet(finished.folder / "data/02_intermediate/labels.parquet")
    (folder,) = (finished.folder / "data/02_intermediate/images").glob("*/")
    index = pd.read_parquet(next(folder.glob("*.parquet")))
    first = index[index["split"] == "validation"].iloc[0]
    assert (labels["split"] == "validation").sum() >= 8
    pixels = np.load(folder / f"shard_{first['shard']:05d}.npy")[first["row"]]
    sheet = read_picture(reports / "vae/reconstructions.png")
    assert np.array_equal(sheet[:128, :128], pixels)
    assert not np.array_equal(sheet[130:258, :128], pixels)


def test_the_configuration_says_what_was_trained_how(finished, config):
    assert config["architecture"] == {"dim_z": 1024, "centre": True, "findings": []}
    assert config["parameters"]["beta"] == 0.1
    assert config["parameters"]["sampler"] == "mixture"
    assert config["steps"] == 3
    weights = load_file(finished.folder / "data/06_models/vae/weights.safetensors")
    assert {name.split(".")[0] for name in weights} == {"vae", "mixture"}


def test_the_history_holds_the_elbo_s_parts_weighted_by_beta(history):
    assert np.isfinite(history["value"]).all()
    at = history.pivot_table(index="metric", columns="step", values="value")
    expected = at.loc["loss/reconstruction"] + 0.1 * at.loc["loss/kl"]
    assert at.loc["loss/total"].tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    held_out = {f"validation/{name}" for name in ("loss", "reconstruction", "kl")}
    assert held_out | {"latent/active_units", "gradient/vae"} <= set(at.index)
    assert history[history["metric"].isin(held_out)]["step"].unique().tolist() == [3]


def test_mlflow_keeps_parameters_metrics_and_pictures(finished, history):
    client = mlflow.MlflowClient(finished.database)
    (experiment,) = client.search_experiments(filter_string="name = 'cxr_pipeline'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert "beta=0.1" in run.info.run_name
    assert run.data.params["beta"] == "0.1"
    last = history.groupby("metric")["value"].last()
    for metric in ("loss/total", "validation/kl", "validation/loss", "latent/active_units"):
        assert run.data.metrics[metric] == pytest.approx(last[metric])
    samples = {item.path for item in client.list_artifacts(run.info.run_id, "samples")}
    pictures = {f"samples/{name}.png" for name in ("samples", "samplers", "reconstructions")}
    assert samples == pictures | {"samples/latents"}
    latents = client.list_artifacts(run.info.run_id, "samples/latents")
    names = {item.path.removeprefix("samples/latents/") for item in latents}
    assert names == {path.name for path in (finished.folder / LATENTS).iterdir()}
    assert names == {
        f"{name}.png" for name in ("interpolations", "temperatures", "neighbours", "directions")
    }


def test_the_page_shows_the_vae_and_says_what_went_wrong(reports, config):
    page = (reports / "report.html").read_text()
    for text in ("Samples from the prior and from the mixture", "Losses of the VAE"):
        assert f'alt="{text}"' in page
    missing = re.findall(r"Not made yet: <code>kedro run --pipeline=(\w+)<", page)
    assert missing == ["evaluation", "gan", "gmvae", "vae_beta_sweep", "gmvae_sweep"]
    assert "Beta 0.1, Z = 1024; images are drawn from the mixture." in page
    assert page.count("<strong>Warning:</strong>") == len(config["warnings"])
    (times,) = pd.read_csv(reports / "training_times.csv").to_dict("records")
    assert (times["model"], times["paper_minutes_per_epoch"]) == ("vae", 48)
