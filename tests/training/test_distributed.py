"""Two processes under torchrun, against one that has the whole batch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import REPOSITORY
from tests.training import several_processes
from tests.training.several_processes import KINDS

from cxr_pipeline.training.distributed import agreed_signal, check_processes
from cxr_pipeline.training.engine import SPEED

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two processes made, each in a folder named by its rank: see `several_processes`."""
    folder = tmp_path_factory.mktemp("processes")
    finished = subprocess.run(
        [*TORCHRUN, "-m", "tests.training.several_processes", str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture
def torchrun(monkeypatch):
    """Make this process one of several, as its environment says."""

    def started(count: int, here: int) -> None:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "some")
        monkeypatch.setenv("WORLD_SIZE", str(count))
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(here))

    return started


def kept(path: Path):
    """Weights and history, the speed left out, which no two runs share."""
    said = json.loads(path.with_suffix(".json").read_text())
    history = [(step, name, value) for step, name, value in said["history"] if name != SPEED]
    return load_file(path.with_suffix(".safetensors")), history, said["told"]


# -- the same result -----------------------------------------------------------------------------


def test_batch_norm_over_shares_is_batch_norm_over_the_whole(folder):
    shares = [load_file(folder / rank / "layers.safetensors") for rank in "01"]
    whole = several_processes.layers(slice(0, 4), together=False)
    assert {"made", "by_images", "by_0.weight", "state_2.running_var", "afterwards"} < whole.keys()
    for name, expected in whole.items():
        own = [share[name] for share in shares]
        if name.startswith("state_"):
            found = own
        elif name in {"made", "by_images", "afterwards"}:
            found = [torch.cat(own)]
        else:
            found = [own[0] + own[1]]  # DDP's business
        for each in found:
            torch.testing.assert_close(each, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_learn_what_one_learns_from_the_whole_batch(folder, kind, tmp_path):
    several_processes.take_steps(kind, tmp_path)
    first, losses, _ = kept(folder / "0" / kind / "after")
    second, losses_too, _ = kept(folder / "1" / kind / "after")
    expected, expected_losses, _ = kept(tmp_path / "after")
    before, _, _ = kept(tmp_path / "before")
    assert losses == losses_too
    assert [row[:2] for row in losses] == [row[:2] for row in expected_losses]
    # The history is float32, and the VAE's posterior too, whatever its weights are.
    tolerance = {"rtol": 2e-5, "atol": 1e-6}
    for name, weights in expected.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], weights, **tolerance, msg=name)
    moved = sum(float((expected[name] - before[name]).square().sum()) for name in expected)
    apart = sum(float((expected[name] - first[name]).square().sum()) for name in expected)
    assert apart**0.5 < 1e-4 * moved**0.5
    for row, alone in zip(losses, expected_losses, strict=True):
        assert row[2] == pytest.approx(alone[2], rel=2e-5, abs=1e-6), row


# -- runs ----------------------------------------------------------------------------------------


def test_a_resumed_run_of_two_processes_equals_an_uninterrupted_one_to_the_bit(folder):
    whole, history, _ = kept(folder / "0/made")
    parts, both, _ = kept(folder / "0/made_resume")
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    # A run that ends has one look more.
    steps = [row for row in both if not row[1].startswith(("quality", "warning"))]
    assert steps == [row for row in history if not row[1].startswith(("quality", "warning"))]
    assert len([*folder.glob("checkpoint/*.json")]) == 2


def test_rank_0_alone_writes_and_tells(folder):
    _, _, told = kept(folder / "0/made")
    assert told == [0, 1, 2, 2, 3, 3]
    _, _, told = kept(folder / "1/made")
    assert told == []
    assert (folder / "0/whole").is_dir()
    assert not (folder / "1/whole").exists()
    first, second = (kept(folder / rank / "made")[0] for rank in "01")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def one_thread():
    """As torchrun gives each process: with more, the last digits are others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_rank_0_can_train_by_itself_while_the_others_wait(folder, tmp_path):
    several_processes.train_gan(tmp_path / "checkpoint", tmp_path, seed=1)
    by_itself, history, told = kept(folder / "0/made_seed")
    expected, expected_history, _ = kept(tmp_path / "made_seed")
    assert all(torch.equal(by_itself[name], expected[name]) for name in expected)
    assert history == expected_history
    assert told
    assert not (folder / "1/made_seed.json").exists()


# -- what they agree on --------------------------------------------------------------------------


def test_a_signal_to_one_process_stops_all_of_them_where_they_meet(folder):
    for rank in "01":
        assert json.loads((folder / rank / "signals.json").read_text()) == [None, 15]


def test_processes_that_would_begin_at_different_steps_are_refused(folder):
    for rank in "01":
        message = (folder / rank / "apart.txt").read_text()
        assert message.startswith("processes would begin at steps from 0 to 3: ")
        assert message.splitlines() == [message]


def test_a_process_alone_stops_at_once():
    assert agreed_signal(15, meeting=False) == 15
    assert agreed_signal(None, meeting=True) is None


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "fits"), [(5, 4), (1, 2)])
def test_a_batch_that_cannot_be_split_is_refused(torchrun, one_line_error, batch_size, fits):
    torchrun(2, 2)
    message = one_line_error(check_processes, batch_size, "cpu")
    assert f"batch_size={batch_size} cannot be split" in message
    assert f"such as {fits}" in message
    check_processes(fits, "cpu")


def test_more_processes_than_devices_are_refused(torchrun, one_line_error, monkeypatch):
    torchrun(8, 4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    message = one_line_error(check_processes, 8, "cuda")
    assert "--nproc-per-node=4" in message
    assert "--nproc-per-node=2" in message
    torchrun(4, 2)
    check_processes(8, "cuda")
