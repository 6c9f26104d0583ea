"""Promise 1: killed at any moment and resumed, training ends where it would have ended."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import REPOSITORY
from tests.reliability.training_child import STEPS

from cxr_pipeline.training.checkpoint import Learner, find_checkpoint
from cxr_pipeline.training.engine import SPEED

MODELS = ["gan", "vae", "gmvae"]


def start(model: str, checkpoints: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.training_child", model, str(checkpoints)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(model: str, checkpoints: Path) -> None:
    child = start(model, checkpoints)
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors


def kill_after(model: str, checkpoints: Path, step: int, delay: float) -> None:
    """Train until a step is done, and some part of the next; then SIGKILL."""
    child = start(model, checkpoints)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= step:
            break
    time.sleep(delay)
    child.kill()
    child.communicate()


def end_of(checkpoints: Path) -> tuple[dict[str, torch.Tensor], list[tuple[int, str, float]]]:
    """Weights, optimiser states and average; the history but for the speed."""
    found = find_checkpoint(checkpoints)
    assert found is not None
    assert (found.step, found.finished) == (STEPS, True)
    state = load_file(found.tensors)
    learnt = {name: t for name, t in state.items() if not name.startswith("history/")}
    history = found.restore(Learner({}, {}))
    return learnt, [row for row in history if row[1] != SPEED]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """How each model ends when nobody interrupts it."""
    ends = {}

    def end(model):
        if model not in ends:
            folder = tmp_path_factory.mktemp(model)
            finish(model, folder)
            ends[model] = end_of(folder)
        return ends[model]

    return end


def check_killed(model, folder, whole, kills, seed):
    chance = random.Random(seed)
    for _ in range(kills):
        found = find_checkpoint(folder)
        begun = found.step if found else 0
        if begun == STEPS:
            break
        kill_after(model, folder, chance.randint(begun + 1, STEPS), chance.uniform(0, 0.1))
    finish(model, folder)
    (learnt, history), (expected, expected_history) = end_of(folder), whole(model)
    assert learnt.keys() == expected.keys()
    assert {name.split("/")[0] for name in learnt} == {"module", "optimizer", "average"}
    for name, tensor in expected.items():
        assert torch.equal(learnt[name], tensor), name
    assert history == expected_history


@pytest.mark.parametrize("model", MODELS)
def test_killed_once_and_resumed_it_ends_as_if_nothing_had_happened(model, tmp_path, whole):
    check_killed(model, tmp_path, whole, kills=1, seed=model)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("model", MODELS)
def test_killed_again_and_again_it_ends_as_if_nothing_had_happened(model, seed, tmp_path, whole):
    check_killed(model, tmp_path, whole, kills=4, seed=seed)
