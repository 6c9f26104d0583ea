"""Promise 8: loading data never runs code."""

import ast
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr_pipeline.data.files import file_digest, json_digest
from cxr_pipeline.data.store import open_store
from cxr_pipeline.models.encoder_weights import load_encoder_weights
from cxr_pipeline.models.encoders import ImageEncoder
from cxr_pipeline.training.checkpoint import DIGEST, Learner, find_checkpoint, write_checkpoint
from cxr_pipeline.training.saved_model import CONFIG, WEIGHTS, load_model, save_model

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sorted([*REPOSITORY.glob("src/**/*.py"), *REPOSITORY.glob("benchmarks/**/*.py")])

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
NAMES = {"eval", "exec", "compile", "__import__"}
ATTRIBUTES = {
    "read_pickle", "to_pickle", "unsafe_load", "full_load", "unsafe_load_all", "full_load_all",
    "UnsafeLoader", "FullLoader", "log_model", "save_model", "load_model", "pyfunc", "system",
    "popen", "unpack_archive",
}  # fmt: skip
OURS = {"save_model", "load_model"}
"""The project's own functions of those names are called by name, MLflow's by attribute."""


def is_true(node):
    return isinstance(node, ast.Constant) and node.value is True


def findings(source):
    """What in a program's text could run code that data bring along: line and what."""
    found = []
    for node in ast.walk(ast.parse(source)):
        named = []
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            named = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            named += [alias.name for alias in node.names if alias.name in ATTRIBUTES - OURS]
        elif isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES:
            named = [node.attr]
        elif isinstance(node, ast.Call):
            named = list(calls(node))
        found += [
            f"line {node.lineno}: {name}"
            for name in named
            if name.split(".")[0] in MODULES or name in ATTRIBUTES or name.startswith("!")
        ]
    return found


def calls(node):
    """A call that is dangerous as it stands, marked with `!`."""
    called = ast.unparse(node.func)
    options = {option.arg: option.value for option in node.keywords}
    last = called.split(".")[-1]
    if called in NAMES:
        yield f"!{called}"
    if called in {"torch.load", "get_state_dict"} and not is_true(options.get("weights_only")):
        yield "!torch.load without weights_only=True"
    if "allow_pickle" in options and not (
        isinstance(options["allow_pickle"], ast.Constant) and options["allow_pickle"].value is False
    ):
        yield "!allow_pickle"
    if called in {"yaml.load", "yaml.load_all"}:
        yield "!yaml.load"
    if "shell" in options:
        yield "!shell"
    if (
        last in {"extractall", "extract"}
        and ast.unparse(options.get("filter", ast.Constant(None))) != "'data'"
    ):
        yield "!extractall"
    if last == "get_state_dict" and not is_true(options.get("weights_only")):
        yield "!get_state_dict without weights_only=True"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import dill, os",
        "from joblib import load",
        "import cloudpickle.compat",
        "import shelve",
        "import marshal",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=choice)",
        "choice.get_state_dict(check_hash=True)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, mmap_mode='r', allow_pickle=choice)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "yaml.unsafe_load(text)",
        "yaml.load(text, Loader=yaml.UnsafeLoader)",
        "from yaml import UnsafeLoader",
        "pd.read_pickle(path)",
        "from pandas import read_pickle",
        "frame.to_pickle(path)",
        "eval(text)",
        "exec(text)",
        "__import__(name)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
        "os.popen(command)",
        "mlflow.pytorch.log_model(model)",
        "mlflow.sklearn.save_model(model, path)",
        "mlflow.pyfunc.load_model(uri)",
        "tar.extractall(folder)",
        "tar.extractall(folder, filter='fully_trusted')",
        "tar.extract(member, folder)",
        "shutil.unpack_archive(path)",
    ],
)
def test_the_scan_catches_each(source):
    assert findings(f"def f():\n    {source}") != []


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path, mmap_mode='r')",
        "np.save(file, array, allow_pickle=False)",
        "yaml.safe_load(text)",
        "json.loads(text)",
        "tar.extractall(folder, filter='data')",
        "subprocess.run(['git'])",
        "load_model(folder)",
        "network.eval()",
        "re.compile(text)",
    ],
)
def test_the_scan_lets_the_harmless_pass(source):
    assert findings(source) == []


def test_nothing_in_the_project_runs_what_it_loads():
    found = {str(path): findings(path.read_text()) for path in SOURCES}
    assert len(found) > 100
    assert {path: lines for path, lines in found.items() if lines} == {}


class Trap:
    """What makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def trap(tmp_path):
    """A pickle that works; afterwards nobody may have loaded it."""
    marker = tmp_path / "marker"
    payload = pickle.dumps(Trap(marker))
    pickle.loads(payload)
    assert marker.exists()
    marker.unlink()
    yield payload
    assert not marker.exists()


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "weights"])
@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_an_encoder_s_weights(tmp_path, trap, name, how, one_line_error):
    path = tmp_path / name
    path.write_bytes(trap)
    if how == "torch":
        torch.save({"features.0.weight": Trap(tmp_path / "marker")}, path)
    encoder = ImageEncoder("vgg16", normalise=True)
    message = one_line_error(load_encoder_weights, encoder, str(path))
    assert f"gmvae.weights='{path}' cannot be read as tensors alone" in message


def test_a_model_s_weights_that_its_configuration_vouches_for(tmp_path, trap, one_line_error):
    save_model(tmp_path, {"model": "gan"}, {"a": torch.zeros(1)})
    (tmp_path / WEIGHTS).write_bytes(trap)
    config = {"model": "gan", "weights_sha256": file_digest(tmp_path / WEIGHTS)}
    (tmp_path / CONFIG).write_text(json.dumps(config))
    assert f"the model in '{tmp_path}' is damaged" in one_line_error(load_model, tmp_path)


def test_a_model_s_configuration_that_is_no_json(tmp_path, trap, one_line_error):
    save_model(tmp_path, {"model": "gan"}, {"a": torch.zeros(1)})
    (tmp_path / CONFIG).write_bytes(trap)
    assert f"the model in '{tmp_path}' is damaged" in one_line_error(load_model, tmp_path)


def test_a_checkpoint_s_tensors_that_its_record_vouches_for(tmp_path, trap, one_line_error):
    learner = Learner({"network": torch.nn.Linear(2, 2)}, {})
    write_checkpoint(
        tmp_path, learner, step=1, identity={}, run="a", history=[], seconds=0.0, notes={},
        alarms={}, keep=1,
    )  # fmt: skip
    (tensors,) = tmp_path.glob("*.safetensors")
    (record,) = tmp_path.glob("*.json")
    tensors.write_bytes(trap)
    content = json.loads(record.read_text()) | {"sha256": file_digest(tensors)}
    del content[DIGEST]
    record.write_text(json.dumps(content | {DIGEST: json_digest(content)}))
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert f"checkpoint '{tensors}' holds no tensors" in one_line_error(found.restore, learner)


def as_pickle(path, trap, marker):
    path.write_bytes(trap)


def as_objects(path, trap, marker):
    np.save(path, np.array([Trap(marker)] * 3, dtype=object), allow_pickle=True)


@pytest.mark.parametrize("spoil", [as_pickle, as_objects])
def test_a_store_s_shard_of_the_right_length(tmp_path, store_224, trap, spoil, one_line_error):
    folder = Path(shutil.copytree(store_224.folder, tmp_path / store_224.folder.name))
    shard = folder / "shard_00000.npy"
    length = shard.stat().st_size
    spoil(shard, trap, tmp_path / "marker")
    shard.write_bytes(shard.read_bytes().ljust(length, b"\0"))
    store = open_store(folder)
    message = one_line_error(store.read, np.arange(2))
    assert message.startswith(f"'{shard}' is no shard (")
    assert message.endswith(f": delete '{folder}' and run again, which makes it anew")


@pytest.mark.parametrize("name", ["manifest.json", "index.parquet"])
def test_a_store_s_tables(tmp_path, store_224, trap, name, one_line_error):
    folder = Path(shutil.copytree(store_224.folder, tmp_path / store_224.folder.name))
    (folder / name).write_bytes(trap)
    assert str(folder) in one_line_error(open_store, folder)


@pytest.mark.parametrize("name", ["parameters.yml", "catalog.yml", "mlflow.yml"])
def test_yaml_of_this_machine_that_names_python_objects(project, tmp_path, name):
    marker = tmp_path / "marker"
    text = f"gan: !!python/object/apply:os.mkdir ['{marker}']\n"
    (project.folder / "conf/local" / name).write_text(text)
    done = project.run("--pipeline=labels")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "python/object/apply" in error
    assert error.startswith("Error: a file below conf/ is no plain YAML: ")
    assert "line 1, column 6" in error
    assert not marker.exists()
    assert not (project.folder / "data").exists()
