"""Runs that were killed and go on: MLflow keeps one run of each."""

import contextlib
import json
import sqlite3
import subprocess
import time
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
from tests.conftest import Project

GAN = "gan.max_steps={0},gan.batch_size=2,gan.checkpoint_every=1,gan.log_every=1,gan.samples=2"
SWEEP = (
    "vae.max_steps={0},vae.batch_size=2,vae.dim_z=8,vae.precision=32-true,vae.sample_at=[-1],"
    "vae.checkpoint_every=1,vae_beta_sweep.betas=1.0|0.002"
)


def kill_and_resume(project, pipeline, parameters, checkpoints, *, more):
    """Kill a run at its first checkpoint, and let it do some more steps; its steps in all."""
    folder = project.folder / "data/06_models" / checkpoints
    process = subprocess.Popen(
        project.command(f"--pipeline={pipeline}", f"--params={parameters.format(more)}"),
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while not [*folder.glob("*.json")] and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -9
    (*_, record) = sorted(folder.glob("*.json"))
    notes = json.loads(record.read_text())["notes"]
    result = project.run(f"--pipeline={pipeline}", f"--params={parameters.format(more + 1)}")
    assert result.returncode == 0, result.stderr
    client = mlflow.MlflowClient(project.database)
    (experiment,) = client.search_experiments(filter_string="name = 'cxr_pipeline'")
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time"])
    return SimpleNamespace(notes=notes, said=result.stderr, runs=runs, client=client)


@pytest.fixture(scope="module")
def resumed(tmp_path_factory, few_images):
    """A GAN's run that was killed, and went on for more steps than it was begun with."""
    project = Project(tmp_path_factory.mktemp("project"))
    found = kill_and_resume(
        project, "gan", f"raw_dir={few_images},{GAN}", "gan/checkpoint", more=40
    )
    found.history = pd.read_csv(project.folder / "data/08_reporting/gan/history.csv")
    found.database = project.folder / "tracking.db"
    return found


def test_a_run_that_goes_on_is_the_same_run_in_mlflow(resumed):
    (run,) = resumed.runs
    assert resumed.notes["mlflow_run"] == run.info.run_id
    assert run.info.status == "FINISHED"
    assert f"Going on with MLflow's run '{run.info.run_name}'" in resumed.said
    assert "Resumed at step" in resumed.said


def test_it_keeps_its_name_and_parameters_and_says_what_changed(resumed):
    (run,) = resumed.runs
    assert "max_steps=40" in run.info.run_name
    assert run.data.params["max_steps"] == "40"
    assert run.data.tags["resumed"] == "1"
    assert run.data.tags["resumed.max_steps"] == "41"
    assert "gan.max_steps=40" in run.data.tags["command"]
    assert "gan.max_steps=41" in run.data.tags["resumed.command"]


def test_its_metrics_are_those_of_the_history(resumed):
    (run,) = resumed.runs
    metric = "loss/generator"
    sent = {m.step: m.value for m in resumed.client.get_metric_history(run.info.run_id, metric)}
    own = resumed.history[resumed.history["metric"] == metric].set_index("step")["value"]
    assert own.index[-1] == 41
    # What a killed run had not said yet is in the files alone.
    later = {step: value for step, value in sent.items() if step in own.index}
    assert {41} <= later.keys()
    assert later == pytest.approx({step: own[step] for step in later})


def test_no_patient_reaches_mlflow(resumed, few_images):
    patients = pd.read_csv(few_images / "Data_Entry_2017_v2020.csv")["Image Index"].str[:8].unique()
    # Not the file's bytes, in which a number and the next column's may look like a patient's.
    with contextlib.closing(sqlite3.connect(resumed.database)) as database:
        sent = "\n".join(database.iterdump())
    assert "gan.max_steps" in sent
    assert not [patient for patient in patients if patient in sent]


@pytest.mark.slow
def test_a_sweep_that_goes_on_is_the_same_run_and_so_are_its_members(project, few_images):
    parameters = f"raw_dir={few_images},{SWEEP}"
    last = "vae_beta_sweep/beta_0.002/checkpoint"
    found = kill_and_resume(project, "vae_beta_sweep", parameters, last, more=8)
    assert {run.info.run_name.split(" on ")[0] for run in found.runs} == {
        "vae_beta_sweep",
        "vae beta_1",
        "vae beta_0.002",
    }
    assert len(found.runs) == 3
    assert {run.info.status for run in found.runs} == {"FINISHED"}
    (outer,) = (run for run in found.runs if run.info.run_name.startswith("vae_beta_sweep"))
    assert found.notes["mlflow_parent"] == outer.info.run_id
    assert found.notes["mlflow_run"] in {run.info.run_id for run in found.runs}


@pytest.mark.slow
def test_a_run_that_mlflow_holds_no_longer_goes_on_in_a_new_one(project, few_images):
    parameters = f"--params=raw_dir={few_images},{GAN}"
    first = project.run("--pipeline=gan", parameters.format(2))
    assert first.returncode == 0, first.stderr
    project.database = f"sqlite:///{project.folder / 'other.db'}"
    second = project.run("--pipeline=gan", f"{parameters.format(3)},gan.resume=true")
    assert second.returncode == 0, second.stderr
    assert "no longer: a new one" in second.stderr
    assert "Resumed at step 2 of 3" in second.stderr


@pytest.mark.slow
@pytest.mark.parametrize("other", ["raw_dir", "preprocessing.equalise=clahe"])
def test_a_run_on_other_images_is_another_run(project, few_images, ten_images, other):
    parameters = f"{GAN.format(2)},labels.seed=4"
    first = project.run("--pipeline=gan", f"--params=raw_dir={few_images},{parameters}")
    assert first.returncode == 0, first.stderr
    (*_, last) = sorted((project.folder / "data/06_models/gan/checkpoint").glob("*.json"))
    last.unlink()  # as if it had been killed before
    if other == "raw_dir":
        few_images = ten_images
    else:
        parameters += f",{other}"
    second = project.run("--pipeline=gan", f"--params=raw_dir={few_images},{parameters}")
    assert second.returncode == 1
    assert "unfinished training" in second.stderr
    assert "image_store_digest was" in second.stderr
    third = project.run(
        "--pipeline=gan", f"--params=raw_dir={few_images},{parameters},gan.resume=false"
    )
    assert third.returncode == 0, third.stderr
    assert "Going on with MLflow's run" not in second.stderr + third.stderr
    client = mlflow.MlflowClient(project.database)
    (experiment,) = client.search_experiments(filter_string="name = 'cxr_pipeline'")
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time"])
    assert [run.info.status for run in runs] == ["FINISHED", "FAILED", "FINISHED"]
