"""`kedro run` under torchrun, for real."""

import signal
import subprocess
import sys
import time

import mlflow
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import Project

from cxr_pipeline.training.checkpoint import find_checkpoint

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
SMALL = "gan.batch_size=4,gan.samples=2,gan.precision=32-true,gan.accelerator=cpu"


def start(project: Project, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TORCHRUN, "-m", "kedro", "run", *arguments],
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def statuses(project: Project) -> list[str]:
    client = mlflow.MlflowClient(project.database)
    experiments = [found.experiment_id for found in client.search_experiments()]
    return [run.info.status for run in client.search_runs(experiments)]


def losses(project: Project) -> pd.DataFrame:
    history = pd.read_csv(project.folder / "data/08_reporting/gan/history.csv")
    return history[~history["metric"].str.startswith("speed/")].reset_index(drop=True)


def trained(project: Project) -> dict[str, torch.Tensor]:
    """Weights, statistics of batches and state of the optimisers, at the end."""
    (checkpoint,) = (project.folder / "data/06_models/gan/checkpoint").glob("*.safetensors")
    kept = load_file(checkpoint)
    return {name: kept[name] for name in kept if name.startswith(("module/", "optimizer/"))}


@pytest.mark.slow
def test_two_processes_train_what_one_does_in_one_tracked_run(project, few_images, tmp_path):
    # Adam's first steps have a gradient's sign where that is next to nothing: at a common learning
    # rate last digits would decide what the generator learns from.
    steps = "gan.max_steps=2,gan.generator_steps=2,gan.learning_rate=0.00000001"
    arguments = ("--pipeline=gan", f"--params=raw_dir={few_images},{SMALL},{steps}")
    process = start(project, *arguments)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert output.count("Training gan on") == 1
    assert "Traceback" not in output
    assert statuses(project) == ["FINISHED"]
    (tmp_path / "alone").mkdir()
    alone = Project(tmp_path / "alone")
    finished = alone.run(*arguments)
    assert finished.returncode == 0, finished.stderr
    found, expected = losses(project), losses(alone)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-3, atol=1e-4)
    split, whole = trained(project), trained(alone)
    assert split.keys() == whole.keys()
    assert sum("exp_avg" in name for name in whole) > 40  # Adam's: the means of gradients
    for name, tensor in whole.items():
        apart = (split[name].double() - tensor.double()).abs().max().item()
        # Biases begin at 0: they are a few learning rates long. Gradients of batch norm's scales
        # nearly cancel: measured, up to 0.2 % apart; not averaged they would be twice as long.
        unlearnt = 1e-7 if name.endswith("bias") else 0.0
        assert apart <= 1e-2 * tensor.double().abs().max().item() + unlearnt, name


@pytest.mark.slow
def test_sigterm_to_torchrun_ends_all_processes_with_one_checkpoint(project, few_images):
    steps = "gan.max_steps=100000,gan.checkpoint_every=1,gan.log_every=1"
    process = start(project, "--pipeline=gan", f"--params=raw_dir={few_images},{SMALL},{steps}")
    folder = project.folder / "data/06_models/gan/checkpoint"
    deadline = time.monotonic() + 200
    while not [*folder.glob("*.json")] and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=100)
    assert process.returncode != 0, output
    assert "forcefully exiting" not in output
    assert statuses(project) == ["KILLED"]
    assert find_checkpoint(folder) is not None


@pytest.mark.slow
def test_a_batch_that_cannot_be_split_is_refused_before_any_work(project, few_images):
    arguments = f"--params=raw_dir={few_images},{SMALL},gan.batch_size=5"
    process = start(project, "--pipeline=gan", arguments)
    output, _ = process.communicate(timeout=200)
    assert process.returncode != 0
    assert output.count("Error: batch_size=5 cannot be split equally among 2 processes") == 1
    assert not (project.folder / "data").exists()
