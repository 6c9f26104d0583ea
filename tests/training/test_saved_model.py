import json

import pytest
import torch
from torch import nn

from cxr_pipeline.models.digest import weights_digest
from cxr_pipeline.training.saved_model import (
    CONFIG,
    WEIGHTS,
    below,
    load_model,
    load_network,
    require_own_weights,
    save_model,
)

CONFIGURATION = {"model": "gan", "architecture": {"dim_z": 8, "findings": []}}


@pytest.fixture
def weights():
    return {f"net.{key}": tensor for key, tensor in nn.Linear(3, 2).state_dict().items()}


@pytest.fixture
def folder(tmp_path, weights):
    save_model(tmp_path / "gan", CONFIGURATION, weights)
    return tmp_path / "gan"


def test_a_model_comes_back_as_it_was_saved(folder, weights):
    config, loaded = load_model(folder)
    assert config == CONFIGURATION | {"weights_sha256": weights_digest(weights)}
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[key], weights[key]) for key in weights)
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]


def test_a_network_gets_its_own_weights_from_among_others(weights):
    network = nn.Linear(3, 2)
    load_network(network, "net", weights | {"other.weight": torch.zeros(5)})
    assert torch.equal(network.weight, weights["net.weight"])
    assert torch.equal(network.bias, weights["net.bias"])


def test_tensors_below_a_name_are_taken_without_it():
    tensors = {"mixture.mean": torch.ones(1), "mixtures.mean": torch.zeros(1), "vae.mixture.x": 0}
    assert below(tensors, "mixture.") == {"mean": tensors["mixture.mean"]}


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_folder_without_one_of_the_files_holds_no_model(folder, name, one_line_error):
    (folder / name).unlink()
    message = one_line_error(load_model, folder)
    assert message.startswith(f"'{folder}' holds no trained model ({name} is not there): train it")


def spoil(path, kind):
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "other": b"\xff\xfe no"}[kind])


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("kind", ["cut", "empty", "other"])
def test_damaged_files_are_named_in_one_line(folder, name, kind, one_line_error):
    spoil(folder / name, kind)
    message = one_line_error(load_model, folder)
    assert message.startswith(f"the model in '{folder}' is damaged (")
    assert message.endswith("train it, for example with `kedro run --pipeline=gan`")


def test_a_flipped_bit_is_noticed(folder, one_line_error):
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1  # safetensors itself would load this
    (folder / WEIGHTS).write_bytes(data)
    assert f"{WEIGHTS} is not the one that {CONFIG} was written for" in one_line_error(
        load_model, folder
    )


def test_weights_of_another_configuration_are_refused(folder, weights, one_line_error):
    config, loaded = load_model(folder)
    require_own_weights(config, loaded)
    loaded["net.bias"] += 1
    assert one_line_error(require_own_weights, config, loaded) == (
        f"{WEIGHTS} is not the one that {CONFIG} was written for: train the model, with "
        "`kedro run --pipeline=gan`"
    )
    assert f"{CONFIG} was written for" in one_line_error(
        require_own_weights, CONFIGURATION, weights
    )


def test_a_configuration_that_does_not_know_its_weights_is_refused(folder, one_line_error):
    (folder / CONFIG).write_text(json.dumps(CONFIGURATION))
    assert "lacks 'weights_sha256'" in one_line_error(load_model, folder)


@pytest.mark.parametrize("written", [[1, 2], "gan", None])
def test_a_configuration_that_is_no_object_is_damaged(folder, written, one_line_error):
    (folder / CONFIG).write_text(json.dumps(written))
    assert "is damaged" in one_line_error(load_model, folder)


@pytest.mark.parametrize(
    "network", [nn.Linear(4, 2), nn.Linear(3, 2, bias=False), nn.Sequential(nn.Linear(3, 2))]
)
def test_weights_of_another_network_are_refused(network, weights, one_line_error):
    message = one_line_error(load_network, network, "net", weights)
    assert message == "the weights do not fit the net of config.json: train the model anew"
