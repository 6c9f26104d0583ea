import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY

import cxr_pipeline
from cxr_pipeline import load_generator, startup
from cxr_pipeline.training import lsgan
from cxr_pipeline.training.saved_model import save_model


def test_commands_find_one_another_without_an_activated_environment():
    kedro = Path(sys.executable).parent / "kedro"
    bare = {key: value for key, value in os.environ.items() if key != "PATH"}
    code = (
        "import shutil; from cxr_pipeline import startup; startup.prepare(); "
        "print(shutil.which('mlflow'))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=bare | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == shutil.which("mlflow", path=str(kedro.parent))
    assert result.stderr == ""


def test_nothing_is_told_to_the_makers_of_kedro_and_mlflow(monkeypatch):
    for name in ("DO_NOT_TRACK", "PATH"):
        monkeypatch.setenv(name, "")  # so that both are put back afterwards
    monkeypatch.delenv("DO_NOT_TRACK")
    startup.prepare()
    assert os.environ["DO_NOT_TRACK"] == "true"


def test_a_silent_server_is_given_up_soon_unless_the_user_is_more_patient(monkeypatch):
    monkeypatch.setenv("PATH", os.environ["PATH"])  # so that it is put back afterwards
    for name in startup.SERVER_PATIENCE:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    startup.prepare()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"


def test_a_folder_below_the_project_logs_as_the_project(tmp_path, project):
    below = project.folder / "notebooks"
    below.mkdir()
    code = (
        "import logging; from cxr_pipeline import startup; startup.prepare(); "
        "print(type(logging.getLogger().handlers[0]).__name__)"
    )
    for folder, handler in (
        (project.folder, "StreamHandler"),
        (below, "StreamHandler"),
        (tmp_path, "RichHandler"),
    ):
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        assert handler in result.stdout, folder


SLOW = "import sys; print(*sorted({'kedro_viz', 'plotly', 'torch'} & sys.modules.keys()))"
"""Each takes seconds to import: only what trains, draws or shows may."""

CATALOG = """
from pathlib import Path
import yaml
from kedro.io import DataCatalog
entries = {}
for path in Path('conf/base').glob('catalog*.yml'):
    entries |= yaml.safe_load(path.read_text())
catalog = DataCatalog.from_config(entries)
assert [dataset for _, dataset in catalog.items()]
"""


@pytest.mark.parametrize(
    ("code", "imported"),
    [
        ("import cxr_pipeline; cxr_pipeline.__version__", ""),
        ("from cxr_pipeline.pipeline_registry import register_pipelines as r; assert r()", ""),
        ("import cxr_pipeline.cli, cxr_pipeline.settings, cxr_pipeline.parameters", ""),
        (CATALOG, ""),
        ("from cxr_pipeline import load_generator", "torch"),
    ],
    ids=["package", "pipelines", "commands", "catalog", "generator"],
)
def test_what_takes_seconds_is_imported_only_by_those_who_need_it(code, imported):
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{code}\n{SLOW}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == imported, result.stderr


def test_the_package_s_door_leads_to_the_images_of_a_trained_model(tmp_path):
    own = {"dim_z": 4, "patch_scores": True, "conditional": False}
    architecture = lsgan.architecture(own, ())
    training = {"learning_rate": 1e-4, "betas": (0.5, 0.9), "generator_steps": 1}
    generator = lsgan.build_task(architecture, own | training).modules["generator"]
    weights = {f"generator.{key}": tensor for key, tensor in generator.state_dict().items()}
    save_model(tmp_path, {"model": "gan", "architecture": architecture}, weights)
    images = load_generator(tmp_path).sample(2, seed=0)
    assert images.shape == (2, 1, 128, 128)
    assert 0 <= images.min() < images.max() <= 1
    assert "load_generator" in cxr_pipeline.__all__


def test_the_package_has_no_other_door():
    with pytest.raises(AttributeError, match="no attribute 'load_model'"):
        _ = cxr_pipeline.load_model
