import copy
import dataclasses
import json

import pytest
import torch
from tests.training.tasks import save_checkpoint
from torch import nn

from cxr_pipeline.training.checkpoint import Learner, find_checkpoint, mark_finished


def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    return {"net": module}, {"net": optimizer}


def learn(modules, optimizers, steps):
    data = torch.arange(24.0).reshape(8, 3)
    for _ in range(steps):
        optimizers["net"].zero_grad()
        modules["net"](data).square().mean().backward()
        optimizers["net"].step()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_restored_networks_learn_on_as_if_nothing_had_happened(tmp_path):
    modules, optimizers = network()
    learn(modules, optimizers, 3)
    save_checkpoint(tmp_path, modules, optimizers)
    learn(modules, optimizers, 3)

    fresh = Learner(*network())
    find_checkpoint(tmp_path).restore(fresh)
    learn(fresh.modules, fresh.optimizers, 3)
    for name, tensor in modules["net"].state_dict().items():
        assert torch.equal(tensor, fresh.modules["net"].state_dict()[name]), name


def test_the_record_and_the_history_come_back_as_they_were_written(tmp_path):
    history = [(1, "loss", 1 / 3), (1, "speed", 7.0), (2, "loss", 5e-324)]
    alarms = {"before": ["a"], "said": ["a", "b"]}
    save_checkpoint(tmp_path, step=2, history=history, notes={"by": "me"}, alarms=alarms)
    found = find_checkpoint(tmp_path)
    assert (found.step, found.identity, found.finished) == (2, {"model": "x"}, False)
    assert (found.run, found.notes, found.alarms) == ("first", {"by": "me"}, alarms)
    assert found.seconds == 1.5
    assert found.restore(Learner({"net": nn.Linear(2, 1)}, {})) == history


def test_the_average_and_the_loss_scale_come_back(tmp_path):
    average = nn.Linear(2, 1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))
    save_checkpoint(tmp_path, average=average, scaler=scaler)
    fresh = Learner(
        {"net": nn.Linear(2, 1)}, {}, nn.Linear(2, 1), torch.amp.GradScaler("cpu", init_scale=2.0)
    )
    find_checkpoint(tmp_path).restore(fresh)
    assert torch.equal(fresh.average.weight, average.weight)
    assert fresh.scaler.get_scale() == 8.0


def test_what_is_marked_finished_is_as_it_was_but_for_that(tmp_path):
    save_checkpoint(tmp_path, step=3)
    save_checkpoint(tmp_path, step=6)
    before = find_checkpoint(tmp_path)
    mark_finished(tmp_path)
    assert find_checkpoint(tmp_path) == dataclasses.replace(before, finished=True)


@pytest.mark.parametrize(("keep", "kept"), [(1, [9]), (2, [6, 9]), (5, [3, 6, 9])])
def test_the_latest_are_kept_and_nothing_else_lies_about(tmp_path, keep, kept):
    for step in (3, 6, 9):
        save_checkpoint(tmp_path, step=step, keep=keep)
    stems = [f"{step // 3:06d}_step_{step}" for step in kept]
    assert names(tmp_path) == [f"{s}.{kind}" for s in stems for kind in ("json", "safetensors")]


def test_a_new_run_s_first_checkpoint_is_the_latest_and_replaces_the_other_run_s(tmp_path):
    save_checkpoint(tmp_path, step=300, run="old")
    save_checkpoint(tmp_path, step=400, run="old")
    save_checkpoint(tmp_path, step=100, run="new")
    found = find_checkpoint(tmp_path)
    assert (found.step, found.run) == (100, "new")
    assert names(tmp_path) == ["000003_step_100.json", "000003_step_100.safetensors"]


def test_an_empty_folder_holds_none(tmp_path):
    assert find_checkpoint(tmp_path) is None
    assert find_checkpoint(tmp_path / "absent") is None


def test_tensors_without_their_record_are_passed_over_and_removed_by_the_next(tmp_path):
    save_checkpoint(tmp_path, step=3)
    # Killed before the record of step 6.
    (tmp_path / "000002_step_6.safetensors").write_bytes(b"half a file")
    assert find_checkpoint(tmp_path).step == 3
    save_checkpoint(tmp_path, step=6)
    assert find_checkpoint(tmp_path).step == 6
    assert "000002_step_6.safetensors" not in names(tmp_path)


DAMAGES = {
    "flip": lambda tensors, record: flip(tensors),
    "truncate": lambda tensors, record: tensors.write_bytes(tensors.read_bytes()[:-1]),
    "remove": lambda tensors, record: tensors.unlink(),
    "cut record": lambda tensors, record: record.write_text(record.read_text()[:-20]),
    "empty record": lambda tensors, record: record.write_text(""),
    "a list": lambda tensors, record: record.write_text("[]"),
    "no step": lambda tensors, record: change(record, step=None),
    "another format": lambda tensors, record: change(record, format=1),
    "other types": lambda tensors, record: change(record, identity=3),
    "another step": lambda tensors, record: change(record, step=7),
    "no step at all": lambda tensors, record: change(record, step=float("inf")),
}


def flip(path):
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def change(record, **values):
    record.write_text(json.dumps(json.loads(record.read_text()) | values))


@pytest.mark.parametrize("damage", DAMAGES)
def test_of_a_damaged_checkpoint_the_one_before_is_taken_with_a_warning(tmp_path, caplog, damage):
    modules, optimizers = network()
    save_checkpoint(tmp_path, modules, optimizers, step=3)
    before = copy.deepcopy(modules["net"].state_dict())
    learn(modules, optimizers, 1)
    save_checkpoint(tmp_path, modules, optimizers, step=6)
    record = tmp_path / "000002_step_6.json"
    DAMAGES[damage](record.with_suffix(".safetensors"), record)
    found = find_checkpoint(tmp_path)
    assert found.step == 3
    assert f"checkpoint '{record}' is damaged (" in caplog.messages[0]
    assert "Taking the checkpoint of step 3" in caplog.messages[1]
    fresh = Learner(*network())
    found.restore(fresh)
    assert all(torch.equal(t, before[k]) for k, t in fresh.modules["net"].state_dict().items())


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_every_one_is_damaged_that_is_an_error(tmp_path, one_line_error, damage):
    save_checkpoint(tmp_path)
    record = tmp_path / "000001_step_3.json"
    DAMAGES[damage](record.with_suffix(".safetensors"), record)
    message = one_line_error(find_checkpoint, tmp_path)
    assert f"checkpoint '{record}' is damaged (" in message
    assert f"delete '{tmp_path}' to start anew" in message
