"""Promise 3: killed between any two of the things that writing a checkpoint does, one is valid."""

import os
import signal
from pathlib import Path

import pytest
import torch
from tests.training.tasks import save_checkpoint
from torch import nn

from cxr_pipeline.training import saved_model
from cxr_pipeline.training.checkpoint import Learner, find_checkpoint, mark_finished


def network(value):
    module = nn.Linear(3, 3)
    with torch.no_grad():
        module.weight.fill_(value)
    return {"net": module}


def save(folder, step):
    save_checkpoint(folder, network(float(step)), step=step, keep=2)


def killed_at(moment: int, action) -> bool:
    """Do something in a process that kills itself at its n-th touch of the disk; whether it did."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status)
    touches = 0

    def touching(function):
        def touch(*arguments, **named):
            nonlocal touches
            for done in (False, True):
                touches += 1
                if touches == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                result = None if done else function(*arguments, **named)
                if not done:
                    kept = result
            return kept

        return touch

    for name in ("fsync", "replace", "rename", "unlink", "open", "mkdir"):
        setattr(os, name, touching(getattr(os, name)))
    saved_model.save_file = touching(saved_model.save_file)
    Path.open = touching(Path.open)
    try:
        action()
    except BaseException:
        os._exit(1)
    os._exit(0)


def check_valid(folder, steps):
    found = find_checkpoint(folder)
    assert found is not None
    assert found.step in steps
    learner = Learner(network(0.0), {})
    found.restore(learner)
    assert (learner.modules["net"].weight == found.step).all()
    return found


def test_killed_at_any_moment_of_writing_the_old_one_or_the_new_one_is_whole(tmp_path, caplog):
    seen, moment = set(), 1
    while True:
        folder = tmp_path / str(moment)
        for step in (3, 6):
            save(folder, step)
        killed = killed_at(moment, lambda folder=folder: save(folder, 9))
        seen.add(check_valid(folder, {6, 9}).step)
        assert not caplog.messages, "a kill must not look like damage"
        # The next one finds its way, and nothing is left behind.
        save(folder, 12)
        check_valid(folder, {12})
        assert len(list(folder.iterdir())) == 4, sorted(folder.iterdir())
        if not killed:
            break
        moment += 1
    assert seen == {6, 9}
    assert moment > 10, "hardly anything was interrupted"


def test_killed_at_any_moment_of_marking_the_end_it_stays_whole(tmp_path):
    moment, killed = 1, True
    while killed:
        folder = tmp_path / str(moment)
        save(folder, 3)
        killed = killed_at(moment, lambda folder=folder: mark_finished(folder))
        assert check_valid(folder, {3}).finished or killed
        moment += 1
    assert moment > 4


@pytest.mark.parametrize("moment", [1, 4, 7])
def test_killed_as_the_first_is_written_there_is_none_or_a_whole_one(tmp_path, moment):
    assert killed_at(moment, lambda: save(tmp_path, 3))
    assert find_checkpoint(tmp_path) is None
