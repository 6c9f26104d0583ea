"""`kedro run --pipeline=gan`, once for real: every file of the contract, and what MLflow keeps."""

import csv
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from tests.conftest import FEW_IMAGES, Project, read_picture
from tests.table_4 import TABLE_4

from cxr_pipeline import load_generator

PARAMETERS = "gan.max_steps=3,gan.batch_size=4,gan.samples=5,gan.precision=32-true"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, few_images):
    """A project after two equal runs on data of which one image is broken."""
    raw_dir = shutil.copytree(few_images, tmp_path_factory.mktemp("broken") / "raw_dir")
    (raw_dir / "images/00000002_000.png").write_bytes(b"")
    project = Project(tmp_path_factory.mktemp("project"))
    command = ["--pipeline=gan", f"--params=raw_dir={raw_dir},{PARAMETERS}"]
    project.first = project.run(*command)
    assert project.first.returncode == 0, project.first.stderr
    project.first_weights = (project.folder / "data/06_models/gan/weights.safetensors").read_bytes()
    (project.quarantine,) = project.folder.glob("data/02_intermediate/images/*/quarantine.csv")
    project.stores = snapshot(project.folder / "data/02_intermediate/images")
    project.second = project.run(*command)
    assert project.second.returncode == 0, project.second.stderr
    return project


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def data(finished, path: str) -> Path:
    return finished.folder / "data" / path


@pytest.mark.parametrize(
    "path",
    [
        "06_models/gan/weights.safetensors",
        "06_models/gan/config.json",
        "07_model_output/gan/provenance.json",
        "08_reporting/class_counts.csv",
        "08_reporting/class_counts.png",
        "08_reporting/class_counts_by_split_and_view.csv",
        "08_reporting/cooccurrence.csv",
        "08_reporting/cooccurrence.png",
        "08_reporting/parameter_counts.csv",
        "08_reporting/gmvae_versions.csv",
        "08_reporting/layers_decoder_1.csv",
        "08_reporting/layers_decoder_2.csv",
        "08_reporting/training_times.csv",
        "08_reporting/transformed_images.png",
        "08_reporting/quarantine.csv",
        "08_reporting/report.html",
        "08_reporting/gan/samples.png",
        "08_reporting/gan/losses.png",
        "08_reporting/gan/history.csv",
        "08_reporting/gan/latents/interpolations.png",
        "08_reporting/gan/latents/neighbours.png",
        "08_reporting/gan/latents/temperatures.png",
        "08_reporting/gan/progress/step_000000.png",
        "08_reporting/gan/progress/step_000003.png",
    ],
)
def test_every_file_of_the_contract_is_there(finished, path):
    assert data(finished, path).stat().st_size > 0


def test_the_same_seed_gives_the_same_weights_to_the_bit(finished):
    assert (
        data(finished, "06_models/gan/weights.safetensors").read_bytes() == finished.first_weights
    )


def test_the_second_run_reuses_the_store_and_adds_no_byte(finished):
    assert "up to date" in finished.second.stderr
    assert snapshot(data(finished, "02_intermediate/images")) == finished.stores
    (manifest,) = data(finished, "02_intermediate/images").glob("*/manifest.json")
    assert json.loads(manifest.read_text())["kept"] == FEW_IMAGES - 1


def test_the_label_table_is_complete_and_no_patient_is_in_two_splits(finished):
    labels = pd.read_parquet(data(finished, "02_intermediate/labels.parquet"))
    assert len(labels) == FEW_IMAGES
    assert labels.groupby("patient")["split"].nunique().max() == 1


def test_class_counts_equal_a_count_made_from_the_csv(finished, few_images):
    with (few_images / "Data_Entry_2017_v2020.csv").open() as file:
        findings = [row["Finding Labels"].split("|") for row in csv.DictReader(file)]
    counts = pd.read_csv(data(finished, "08_reporting/class_counts.csv"))
    assert list(counts.columns) == ["finding", "count", "paper"]
    for row in counts.itertuples():
        assert row.count == sum(row.finding in names for names in findings), row.finding


def test_class_counts_by_split_and_view_equal_a_count_of_the_label_table(finished):
    labels = pd.read_parquet(data(finished, "02_intermediate/labels.parquet"))
    counts = pd.read_csv(data(finished, "08_reporting/class_counts_by_split_and_view.csv"))
    for row in counts.to_dict("records"):
        images = labels[labels[row["finding"]]]
        assert row["total"] == len(images)
        for split in ("train", "validation", "test"):
            here = images[images["split"] == split]
            assert row[split] == len(here)
            assert row[f"{split}_PA"] == (here["view"] == "PA").sum()
    together = pd.read_csv(data(finished, "08_reporting/cooccurrence.csv")).set_index("finding")
    both = (labels["Effusion"] & labels["Cardiomegaly"]).sum()
    assert together.loc["Effusion", "Cardiomegaly"] == both


def test_parameter_counts_stand_beside_the_paper_s(finished):
    counts = pd.read_csv(data(finished, "08_reporting/parameter_counts.csv"))
    assert list(counts.columns[:4]) == ["model", "component", "parameters", "paper"]
    gan = counts[counts["model"] == "gan"]
    assert dict(zip(gan["component"], gan["parameters"], strict=True)) == {
        "discriminator": 2_795_904,
        "generator": 3_606_976,
        "total": 6_402_880,
    }
    # Those that are not trained are counted too; v4 has the other decoder of Table 5.
    assert list(counts["model"].unique()) == ["gan", "vae", "gmvae", "gmvae v4"]
    printed = counts[counts["paper"].notna()]
    ours = printed["counted_as_paper"].fillna(printed["parameters"])
    assert (ours == printed["paper"]).all()
    assert {6_402_880, 32_674_945, 14_887_488, 14_716_608} <= set(printed["paper"])


def test_versions_and_layers_are_the_paper_s(finished):
    versions = pd.read_csv(data(finished, "08_reporting/gmvae_versions.csv"))
    assert list(versions["version"]) == list(TABLE_4)
    for decoder, weights in (("1", 1_920), ("2", 172_800)):
        layers = pd.read_csv(data(finished, f"08_reporting/layers_decoder_{decoder}.csv"))
        assert layers["weights"].sum() == weights


def test_the_time_of_the_one_model_trained_stands_beside_the_paper_s(finished):
    (times,) = pd.read_csv(data(finished, "08_reporting/training_times.csv")).to_dict("records")
    assert (times["model"], times["images"], times["paper_minutes_per_epoch"]) == (
        "gan",
        json.loads(data(finished, "06_models/gan/config.json").read_text())["training_images"],
        24,
    )
    assert times["images_per_second"] > 0


def test_the_history_holds_the_losses_of_every_step_and_how_training_went(finished):
    history = pd.read_csv(data(finished, "08_reporting/gan/history.csv"))
    assert list(history.columns) == ["step", "metric", "value"]
    steps = history.groupby("metric")["step"].apply(list).to_dict()
    assert {metric: at for metric, at in steps.items() if not metric.startswith("warning/")} == {
        **{f"loss/{name}": [1, 2, 3] for name in ("discriminator", "generator")},
        **{f"gradient/{name}": [1, 2, 3] for name in ("discriminator", "generator")},
        **{f"scores/{name}": [1, 2, 3] for name in ("real", "drawn")},
        "quality/diversity": [3],
        "speed/images_per_second": [3],
    }
    assert np.isfinite(history["value"]).all()


def test_the_configuration_says_what_was_trained_on_what(finished):
    config = json.loads(data(finished, "06_models/gan/config.json").read_text())
    assert config["model"] == "gan"
    assert config["architecture"] == {"dim_z": 100, "patch_scores": True, "findings": []}
    assert config["steps"] == 3
    assert config["environment"]["precision"] == "32-true"
    weights = load_file(data(finished, "06_models/gan/weights.safetensors"))
    assert sum(t.numel() for k, t in weights.items() if k.endswith("weight") and t.ndim == 4) > 6e6


def test_the_synthetic_images_are_a_raw_data_set_with_their_origin_on_record(finished, project):
    folder = data(finished, "07_model_output/gan")
    table = pd.read_csv(next(folder.glob("*.csv")))
    assert list(table["Image Index"]) == [f"gan_{number:06d}.png" for number in range(5)]
    assert sorted(p.name for p in (folder / "images").iterdir()) == list(table["Image Index"])
    assert read_picture(folder / "images/gan_000000.png").shape == (128, 128)
    provenance = json.loads((folder / "provenance.json").read_text())
    config = json.loads(data(finished, "06_models/gan/config.json").read_text())
    assert provenance["seed"] == 0
    assert provenance["weights_sha256"] == config["weights_sha256"]
    again = project.run("--pipeline=preprocessing", f"--params=raw_dir={folder}")
    assert again.returncode == 0, again.stderr
    assert "5 images kept, 0 quarantined" in again.stderr


def test_mlflow_keeps_one_finished_run_a_command(finished):
    client = mlflow.MlflowClient(finished.database)
    (experiment,) = client.search_experiments(filter_string="name = 'cxr_pipeline'")
    runs = client.search_runs([experiment.experiment_id], "attributes.run_name LIKE 'gan %'")
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    run = runs[0]
    assert "max_steps=3" in run.info.run_name
    assert run.data.tags["command"].startswith("kedro run --pipelines=gan --params=raw_dir=")
    manifest = data(
        finished, f"02_intermediate/images/{run.data.tags['image_store']}/manifest.json"
    )
    assert run.data.tags["image_store_digest"] == json.loads(manifest.read_text())["digest"]
    assert run.data.tags["images_quarantined"] == "1"
    assert len(run.data.tags["git_commit"]) == 40
    assert run.data.tags["data"] == "raw_dir"
    assert run.data.tags["model"] == "gan"
    assert run.data.params["max_steps"] == "3"
    assert run.data.params["learning_rate"] == "0.0002"
    assert run.data.params["labels.seed"] == "0"
    # Of the models that only were counted nothing is said.
    assert not [name for name in run.data.params if name.startswith(("gan", "vae", "gmvae"))]
    losses = client.get_metric_history(run.info.run_id, "loss/generator")
    assert [metric.step for metric in losses] == [3]
    assert "speed/images_per_second" in run.data.metrics
    assert "speed/mean_images_per_second" in run.data.metrics
    assert "quality/diversity" in run.data.metrics
    assert run.data.metrics["size/parameters"] == 6_402_880
    config = json.loads(data(finished, "06_models/gan/config.json").read_text())
    an_epoch = config["training_images"] / config["images_per_second"]
    assert run.data.metrics["speed/seconds_per_epoch"] == pytest.approx(an_epoch)
    folders = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"images", "labels", "preprocessing", "report", "samples", "training"} <= folders
    grids = [item.path for item in client.list_artifacts(run.info.run_id, "images")]
    assert any(re.search(r"samples.step.3.timestamp", path) for path in grids), grids


def test_the_run_says_what_it_made_and_where_to_look(finished):
    client = mlflow.MlflowClient(finished.database)
    run = newest_run(client)
    text = run.data.tags["mlflow.note.content"]
    assert text.startswith("**LSGAN**: 3 steps of 4 images (")
    assert "on raw_dir at 128 px, seed 2, 32-true" in text
    assert "| quality/diversity | " in text
    assert "- `samples/`" in text
    assert f"```\n{run.data.tags['command']}\n```" in text


def test_the_image_store_is_the_run_s_input(finished):
    run = newest_run(mlflow.MlflowClient(finished.database))
    (known,) = run.inputs.dataset_inputs
    assert known.dataset.name == "raw_dir 128 px"
    assert run.data.tags["image_store_digest"].startswith(known.dataset.digest)
    counts = json.loads(known.dataset.profile)
    assert (counts["num_rows"], counts["images_quarantined"]) == (FEW_IMAGES - 1, 1)
    labels = pd.read_parquet(data(finished, "02_intermediate/labels.parquet"))
    assert sum(counts["splits"].values()) == FEW_IMAGES - 1
    assert 0 <= labels["Effusion"].sum() - counts["findings"]["Effusion"] <= 1  # the broken image


def test_each_finished_run_is_a_registered_version_with_its_numbers(finished):
    client = mlflow.MlflowClient(finished.database)
    run = newest_run(client)
    versions = client.search_model_versions("name = 'gan'")
    assert sorted(int(version.version) for version in versions) == [1, 2]
    (version,) = (version for version in versions if version.run_id == run.info.run_id)
    assert version.tags["steps"] == "3"
    assert version.tags["size/parameters"] == "6402880"
    assert version.tags["image_store_digest"] == run.data.tags["image_store_digest"]
    diversity = run.data.metrics["quality/diversity"]
    assert float(version.tags["quality/diversity"]) == pytest.approx(diversity, rel=1e-4)
    assert version.description.startswith("**LSGAN**: 3 steps")


def newest_run(client):
    (experiment,) = client.search_experiments(filter_string="name = 'cxr_pipeline'")
    named = "attributes.run_name LIKE 'gan %'"
    newest_first = ["attributes.start_time DESC"]
    return client.search_runs([experiment.experiment_id], named, order_by=newest_first)[0]


def logged_model(database):
    client = mlflow.MlflowClient(database)
    run = newest_run(client)
    (made,) = run.outputs.model_outputs
    return Path(client.get_logged_model(made.model_id).artifact_location)


def test_the_logged_model_holds_the_weights_once_and_no_pickle(finished):
    folder = logged_model(finished.database)
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    core = {path for path in files if path.startswith("code/cxr_pipeline/")}
    assert files - core == {
        "MLmodel",
        "artifacts/config.json",
        "artifacts/weights.safetensors",
        "conda.yaml",
        "input_example.json",
        "python_env.yaml",
        "requirements.txt",
        "served_model.py",
        "serving_input_example.json",
    }
    assert {path.split("/")[2] for path in core} == {
        *("__init__.py", "randomness.py", "data", "losses", "models", "training")
    }
    assert all(path.endswith(".py") for path in core)
    weights = data(finished, "06_models/gan/weights.safetensors").read_bytes()
    assert (folder / "artifacts/weights.safetensors").read_bytes() == weights
    kept = list(Path(finished.folder / "mlartifacts").rglob("weights.safetensors"))
    kept += list(Path(finished.folder / "mlruns").rglob("weights.safetensors"))
    assert len(kept) == 2  # of each run one


ELSEWHERE = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sys.path = [path for path in sys.path if path and not path.endswith("src")]
import importlib.util
assert importlib.util.find_spec("cxr_pipeline") is None
import mlflow.pyfunc
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/gan/2")
images = model.predict({"n": 4, "seed": 0})
assert not [name for name in sys.modules if name.split(".")[0] in ("kedro", "kedro_mlflow")]
import base64, numpy, cxr_pipeline
assert cxr_pipeline.__file__.startswith(sys.argv[2]), cxr_pipeline.__file__
(png,) = model.predict({"n": 1, "seed": 0, "png": True})
open(sys.argv[4], "wb").write(base64.b64decode(png))
numpy.save(sys.argv[3], images, allow_pickle=False)
"""


def test_mlflow_loads_the_registered_model_in_a_process_that_knows_nothing_of_the_project(
    finished, tmp_path
):
    folder = logged_model(finished.database)
    places = [str(folder), str(tmp_path / "images.npy"), str(tmp_path / "image.png")]
    command = [sys.executable, "-I", "-c", ELSEWHERE, finished.database, *places]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    images = np.load(places[1])
    assert (images.dtype, images.shape) == (np.uint8, (4, 128, 128))
    expected = load_generator(data(finished, "06_models/gan")).pictures(4, seed=0)
    assert np.array_equal(images, np.stack(list(expected)))
    assert np.array_equal(read_picture(Path(places[2])), images[0])


def test_no_patient_reaches_mlflow(finished, few_images):
    patients = pd.read_csv(few_images / "Data_Entry_2017_v2020.csv")["Image Index"].str[:8].unique()
    quarantine = data(finished, "08_reporting/quarantine.csv").read_text()
    assert "00000002_000.png,empty file" in quarantine  # here, and only here
    database = sqlite3.connect(finished.database.removeprefix("sqlite:///"))
    sent = "\n".join(database.iterdump()).encode()
    client = mlflow.MlflowClient(finished.database)
    for experiment in client.search_experiments(filter_string="name = 'cxr_pipeline'"):
        for run in client.search_runs([experiment.experiment_id]):
            folder = Path(client.download_artifacts(run.info.run_id, ""))
            files = [path for path in folder.rglob("*") if path.is_file()]
            assert files
            sent += b"".join(path.read_bytes() + path.name.encode() for path in files)
    assert not [patient for patient in patients if patient.encode() in sent]


def warnings_of(result):
    lines = (result.stdout + result.stderr).splitlines()
    return [line.split("WARNING")[1].strip() for line in lines if "WARNING" in line]


def test_what_was_made_is_said_and_only_the_broken_image_is_warned_of(finished):
    output = finished.second.stdout + finished.second.stderr
    assert "data/08_reporting/report.html" in output
    assert "Warning" not in output
    # Of the second run too: that the store was there already makes the image no better.
    warnings = [
        f"1 images quarantined (1 empty file): see '{finished.quarantine}'",
        "No image in the validation split: diagnostics look at training images",
    ]
    assert warnings_of(finished.first) == warnings_of(finished.second) == warnings


def test_the_report_needs_no_other_file(finished):
    page = data(finished, "08_reporting/report.html").read_text()
    assert page.count("<img ") == page.count('src="data:image/webp;base64,')
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    missing = re.findall(r"Not made yet: <code>kedro run --pipeline=(\w+)<", page)
    assert missing == ["evaluation", "vae", "gmvae", "vae_beta_sweep", "gmvae_sweep"]
    config = json.loads(data(finished, "06_models/gan/config.json").read_text())
    assert page.count("<strong>Warning:</strong>") == len(config["warnings"])
