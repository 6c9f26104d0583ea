"""Promise 12: two runs at once in one checkout leave stores, models and the database right."""

import json
import os
import signal
import sqlite3
import subprocess
import time

import mlflow
import pandas as pd
import pytest
from tests.conftest import FEW_IMAGES, TEN_SPLIT

from cxr_pipeline.data.files import file_digest
from cxr_pipeline.data.locks import lock
from cxr_pipeline.data.store import open_store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no flock")

QUICK = "max_steps=1,{0}.batch_size=2,{0}.samples=2"


def start(project, *arguments):
    return subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Where the tests themselves run in the background, Ctrl-C would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


def end(process, code=0):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    assert "Traceback" not in output, output
    return output


def runs_of(project):
    """The runs in MLflow, whose database must be whole."""
    database = project.folder / "tracking.db"
    with sqlite3.connect(database) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    client = mlflow.MlflowClient(project.database)
    (experiment,) = client.search_experiments(filter_string="name = 'cxr_pipeline'")
    return client.search_runs([experiment.experiment_id])


def stores_of(project):
    """The image stores by the number of their images, each whole and without litter."""
    stores = {}
    for folder in (project.folder / "data/02_intermediate/images").iterdir():
        store = open_store(folder)
        shards = store.manifest["shards"]
        assert all(file_digest(folder / each["file"]) == each["sha256"] for each in shards)
        assert not list(folder.glob(".*"))
        stores[len(store)] = store
    return stores


def test_preprocessing_of_the_same_and_of_other_data_at_once(project, few_images, ten_images):
    commands = [
        [
            "--pipeline=preprocessing",
            f"--params=raw_dir={raw},preprocessing.shard_size=4,{TEN_SPLIT}",
        ]
        for raw in (few_images, few_images, ten_images)
    ]
    processes = [start(project, *command) for command in commands]
    outputs = [end(process) for process in processes]
    assert sum("is up to date" in output for output in outputs) == 1
    assert set(stores_of(project)) == {FEW_IMAGES, 10}
    runs = runs_of(project)
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    for run in runs:
        expected = 10 if run.data.params["raw_dir"] == str(ten_images) else FEW_IMAGES
        assert run.data.tags["images_kept"] == str(expected)
    # Both tables are of the run that came last.
    labels = pd.read_parquet(project.folder / "data/02_intermediate/labels.parquet")
    accounting = pd.read_csv(project.folder / "data/08_reporting/image_accounting.csv")
    assert accounting.set_index("what")["images"]["rows of the labels"] == len(labels)


def wait_for_a_checkpoint(project, process):
    folder = project.folder / "data/06_models/gan/checkpoint"
    while not list(folder.glob("*.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_trainings_of_one_model_and_of_two_at_once(project, few_images, ten_images):
    of_first = "gan.max_steps=12,gan.batch_size=2,gan.checkpoint_every=1,gan.samples=2"
    quiet = "gan.log_every=1000"
    first = start(project, "--pipeline=gan", f"--params=raw_dir={few_images},{of_first},{quiet}")
    wait_for_a_checkpoint(project, first)
    first.send_signal(signal.SIGSTOP)
    try:
        again = end(start(project, "--pipeline=gan", f"--params=raw_dir={ten_images}"), code=1)
        (error,) = [line for line in again.splitlines() if line.startswith("Error: ")]
        assert f"06_models/gan' is in use by process {first.pid} (" in error
        assert "kedro run --pipeline=gan" in error
        assert error.endswith(": wait for its end, or end it first")
        assert len(list((project.folder / "data/02_intermediate/images").iterdir())) == 1
        own = f"vae.{QUICK.format('vae')},vae.mixture_components=2,{TEN_SPLIT}"
        end(start(project, "--pipeline=vae", f"--params=raw_dir={ten_images},{own}"))
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGCONT)
    assert "Put back" in end(first)

    stores = stores_of(project)
    for model, images in (("gan", FEW_IMAGES), ("vae", 10)):
        folder = project.folder / "data/06_models" / model
        config = json.loads((folder / "config.json").read_text())
        assert config["image_store_digest"] == stores[images].digest
    assert [run.info.status for run in runs_of(project)] == ["FINISHED"] * 2
    # What both write is of the run that ended last.
    labels = pd.read_parquet(project.folder / "data/02_intermediate/labels.parquet")
    assert len(labels) == FEW_IMAGES


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_waits_for_its_turn_and_may_be_ended_meanwhile(project, few_images, number, code):
    place = project.folder / "data/.lock"
    place.parent.mkdir()
    with lock(place, "the test's", wait=False):
        process = start(project, "--pipeline=labels", f"--params=raw_dir={few_images}")
        said = ""
        while "Waiting for this checkout's data, in use by process" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        assert f"in use by process {os.getpid()} (" in said
        process.send_signal(number)
        end(process, code)
    assert runs_of(project) == []
    assert [path.name for path in place.parent.iterdir()] == [".lock"]
