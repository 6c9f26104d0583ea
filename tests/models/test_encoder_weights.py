import copy
import hashlib
import json
import pickle
import re
import socket
import time
import urllib.request
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch.nn.utils import parameters_to_vector
from torchvision.models import densenet121

from cxr_pipeline.models.encoder_weights import encoder_record, load_encoder_weights
from cxr_pipeline.models.encoders import ImageEncoder


def build(name, seed):
    torch.manual_seed(seed)
    return ImageEncoder(name, normalise=True)


@pytest.fixture(scope="module")
def network():
    """A whole network as torchvision has it, whose weights stand in for ImageNet's."""
    torch.manual_seed(5)
    return densenet121()


@pytest.fixture(scope="module")
def untouched():
    return build("densenet121", 0)


@pytest.fixture
def encoder(untouched):
    return copy.deepcopy(untouched)


def same(state, other):
    assert state.keys() == other.keys()
    return all(torch.equal(tensor, other[key]) for key, tensor in state.items())


def old_keys(state):
    """As torchvision's own DenseNet file has them."""
    return {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): tensor
        for key, tensor in state.items()
        if not key.endswith("num_batches_tracked")
    }


def legacy_save(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


def refusal(encoder, weights):
    """The one line that says what is wrong; nothing may have been loaded."""
    before = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    with pytest.raises(ValueError, match=r"gmvae\.weights=null") as error:
        load_encoder_weights(encoder, weights)
    assert same(encoder.state_dict(), before)
    line = str(error.value)
    assert "\n" not in line
    assert "weights_only" not in line
    return line


def test_no_weights_leave_the_random_ones(encoder, untouched):
    assert load_encoder_weights(encoder, None) == "random"
    assert same(encoder.state_dict(), untouched.state_dict())


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "features"])
@pytest.mark.parametrize(
    ("name", "write"),
    [("dense.safetensors", save_file), ("dense.pth", torch.save), ("dense.pt", legacy_save)],
)
def test_weights_come_from_files(encoder, network, tmp_path, whole, name, write):
    state = network.state_dict() if whole else network.features.state_dict()
    write(dict(state), tmp_path / name)
    assert load_encoder_weights(encoder, str(tmp_path / name)) == f"file {name}"
    assert same(encoder.features.state_dict(), network.features.state_dict())


def test_an_encoder_s_own_state_is_such_a_file_too(tmp_path):
    vgg, other = build("vgg16", 0), build("vgg16", 1)
    save_file(vgg.state_dict(), tmp_path / "vgg.safetensors")
    load_encoder_weights(other, str(tmp_path / "vgg.safetensors"))
    assert same(other.state_dict(), vgg.state_dict())


def test_old_names_and_half_floats_are_understood(encoder, network, tmp_path):
    state = old_keys(network.state_dict())
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save({key: tensor.half() for key, tensor in state.items()}, tmp_path / "old.pth")
    load_encoder_weights(encoder, str(tmp_path / "old.pth"))
    expected = parameters_to_vector(network.features.parameters()).half().float()
    assert torch.equal(parameters_to_vector(encoder.parameters()), expected)


def without(key):
    return lambda state: {k: t for k, t in state.items() if k != key}


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (without("conv0.weight"), r"'conv0\.weight': give"),
        (lambda state: {**state, "more.weight": torch.zeros(1)}, r"'more\.weight': give"),
        (lambda state: {**state, "conv0.weight": torch.zeros(64, 3, 3, 3)}, r"'conv0\.weight'"),
        (lambda state: {**state, "conv0.weight": 3}, r"'conv0\.weight'"),
        (lambda _: {}, r"'conv0\.weight' and \d+ more: give torchvision's densenet121"),
        (lambda state: {"state_dict": state}, r"'conv0\.weight' and \d+ more"),
        (lambda _: {"0.weight": torch.zeros(64, 3, 3, 3)}, r"'conv0\.weight' and \d+ more"),
    ],
    ids=["missing", "more", "shape", "number", "empty", "nested", "vgg16"],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(encoder, network, tmp_path, spoil, place):
    file = tmp_path / "wrong.pth"
    torch.save(spoil(dict(network.features.state_dict())), file)
    line = refusal(encoder, str(file))
    assert line.startswith(f"gmvae.weights='{file}' does not fit densenet121 at ")
    assert re.search(place, line)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {1: torch.zeros(1)}, torch.zeros(1), None])
def test_files_of_something_else_are_refused(untouched, tmp_path, content):
    torch.save(content, tmp_path / "list.pth")
    assert "holds no state_dict" in refusal(untouched, str(tmp_path / "list.pth"))


def test_absent_files_and_folders_are_refused(untouched, tmp_path):
    for path in (tmp_path / "absent.pth", tmp_path):
        assert refusal(untouched, str(path)).startswith(f"gmvae.weights='{path}' is no file")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(content=st.binary(max_size=64))
def test_files_of_any_bytes_are_refused(untouched, tmp_path, suffix, content):
    file = tmp_path / f"noise{suffix}"
    file.write_bytes(content)
    assert f"'{file}'" in refusal(untouched, str(file))


@pytest.mark.parametrize(
    ("name", "write"),
    [("cut.safetensors", save_file), ("cut.pth", torch.save), ("cut.pt", legacy_save)],
)
def test_files_cut_short_are_refused(untouched, network, tmp_path, name, write):
    file = tmp_path / name
    write(dict(network.features.state_dict()), file)
    file.write_bytes(file.read_bytes()[:-1000])
    assert "cannot be read as tensors alone" in refusal(untouched, str(file))


class Trap:
    """What makes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize(
    "write",
    [
        torch.save,
        legacy_save,
        lambda content, file: pickle.dump(content, file.open("wb"), protocol=2),
    ],
)
def test_code_in_a_file_is_never_run(untouched, network, tmp_path, write):
    trap, file = tmp_path / "sprung", tmp_path / "trap.pth"
    write({**network.features.state_dict(), "trap": Trap(trap)}, file)
    assert "cannot be read as tensors alone" in refusal(untouched, str(file))
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists()  # it would have


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """An empty folder of downloads, and no way to any server."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
        handler = urllib.request.ProxyHandler({"http": proxy, "https": proxy})
        urllib.request.install_opener(urllib.request.build_opener(handler))
        yield tmp_path / "hub/checkpoints"
    urllib.request.install_opener(None)


@pytest.mark.parametrize(
    ("name", "file"), [("vgg16", "vgg16-397923af.pth"), ("densenet121", "densenet121-a639ec97.pth")]
)
def test_without_a_network_the_file_to_bring_is_named(downloads, name, file):
    encoder, began, timeout = build(name, 0), time.monotonic(), socket.getdefaulttimeout()
    line = refusal(encoder, "imagenet")
    assert f"cannot download https://download.pytorch.org/models/{file} (" in line
    assert "put that file at a PATH and set gmvae.weights=PATH, or set gmvae.weights=null" in line
    assert time.monotonic() - began < 5
    assert socket.getdefaulttimeout() == timeout
    assert list(downloads.iterdir()) == []


def test_imagenet_s_weights_once_downloaded_need_no_network(encoder, network, downloads):
    downloads.mkdir(parents=True)
    torch.save(old_keys(network.state_dict()), downloads / "densenet121-a639ec97.pth")
    source = load_encoder_weights(encoder, "imagenet")
    assert source == "imagenet (DenseNet121_Weights.IMAGENET1K_V1)"
    expected = parameters_to_vector(network.features.parameters())
    assert torch.equal(parameters_to_vector(encoder.parameters()), expected)


def test_a_damaged_download_is_to_be_deleted(untouched, downloads):
    downloads.mkdir(parents=True)
    file = downloads / "densenet121-a639ec97.pth"
    file.write_bytes(b"<html>Please log in</html>")
    line = refusal(untouched, "imagenet")
    assert f"'{file}' is damaged" in line
    assert "delete it" in line


def test_the_record_says_which_encoder_looks_how(encoder, untouched):
    record = encoder_record(untouched, "random")
    assert json.loads(json.dumps(record)) == record
    content = save({key: tensor.contiguous() for key, tensor in untouched.state_dict().items()})
    assert record == {
        "name": "densenet121",
        "normalise": True,
        "weights": "random",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert encoder_record(encoder.to(memory_format=torch.channels_last), "random") == record
    with torch.no_grad():
        encoder.features.norm5.running_mean[0] += 1  # not learnt by gradients, but used
    assert encoder_record(encoder, "random")["sha256"] != record["sha256"]


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused_before_they_are_loaded(
    encoder, network, tmp_path, broken
):
    state = dict(network.features.state_dict())
    state["norm5.bias"] = torch.full_like(state["norm5.bias"], broken)
    save_file(state, tmp_path / "broken.safetensors")
    line = refusal(encoder, str(tmp_path / "broken.safetensors"))
    assert "has numbers that are not finite in 'norm5.bias'" in line
