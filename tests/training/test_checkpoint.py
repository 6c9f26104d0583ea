import dataclasses

import pytest
import torch
from torch import nn

from cxr_pipeline.training.checkpoint import (
    find_checkpoint,
    mark_finished,
    restore,
    write_checkpoint,
)


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


def write(folder, modules, optimizers, step=3, **changes):
    arguments = {
        "identity": {"model": "x"},
        "history": [(1, "loss", 0.5)],
        "seconds": 1.5,
    }
    write_checkpoint(
        folder, step=step, modules=modules, optimizers=optimizers, **arguments | changes
    )


def test_restored_networks_learn_on_as_if_nothing_had_happened(tmp_path):
    modules, optimizers = network()
    learn(modules, optimizers, 3)
    write(tmp_path, modules, optimizers)
    learn(modules, optimizers, 3)

    fresh_modules, fresh_optimizers = network()
    found = find_checkpoint(tmp_path)
    assert found is not None
    restore(found, fresh_modules, fresh_optimizers)
    learn(fresh_modules, fresh_optimizers, 3)
    for name, tensor in modules["net"].state_dict().items():
        assert torch.equal(tensor, fresh_modules["net"].state_dict()[name]), name


def test_the_record_comes_back_as_it_was_written(tmp_path):
    write(tmp_path, *network())
    found = find_checkpoint(tmp_path)
    assert (found.step, found.identity, found.finished) == (3, {"model": "x"}, False)
    assert found.history == [(1, "loss", 0.5)]
    assert found.seconds == 1.5


def test_what_is_marked_finished_is_as_it_was_but_for_that(tmp_path):
    write(tmp_path, *network())
    before = find_checkpoint(tmp_path)
    mark_finished(tmp_path)
    assert find_checkpoint(tmp_path) == dataclasses.replace(before, finished=True)


def test_only_the_newest_is_kept_and_nothing_else_lies_about(tmp_path):
    write(tmp_path, *network(), step=3)
    write(tmp_path, *network(), step=6)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint.json", "step_00000006.safetensors"]


def test_an_empty_folder_holds_none(tmp_path):
    assert find_checkpoint(tmp_path) is None


def test_killed_before_the_record_the_old_checkpoint_stays_valid(tmp_path):
    write(tmp_path, *network(), step=3)
    # The tensors of step 6 are there, their record is not.
    (tmp_path / "step_00000006.safetensors").write_bytes(b"half a file")
    assert find_checkpoint(tmp_path).step == 3


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "record"])
def test_damage_is_noticed_and_named(tmp_path, damage):
    write(tmp_path, *network())
    tensors, record = tmp_path / "step_00000003.safetensors", tmp_path / "checkpoint.json"
    data = tensors.read_bytes()
    if damage == "flip":
        tensors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "truncate":
        tensors.write_bytes(data[:-1])
    elif damage == "remove":
        tensors.unlink()
    else:
        record.write_text(record.read_text()[:-20])
    with pytest.raises(ValueError, match=r"checkpoint .* is damaged .*delete"):
        find_checkpoint(tmp_path)
