import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig

from cxr_pipeline.data.locks import lock
from cxr_pipeline.hooks import PreflightHooks
from cxr_pipeline.parameters import check_parameters
from cxr_pipeline.pipeline_registry import register_pipelines
from cxr_pipeline.settings import HOOKS
from cxr_pipeline.turns import TurnHooks

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no flock")

BASE = Path(__file__).resolve().parents[1] / "conf/base"
GAN = register_pipelines()["gan"]
FOLDER = Path("data/06_models/gan")


def configured(what):
    entries = {}
    for path in sorted(BASE.glob(f"{what}*.yml")):
        entries |= yaml.safe_load(path.read_text())
    return entries


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Begin a run of the GAN, as Kedro does, with the hooks in the order of the settings."""
    monkeypatch.chdir(tmp_path)
    hooks = {TurnHooks: TurnHooks(), PreflightHooks: PreflightHooks()}
    hooks[PreflightHooks].context = SimpleNamespace(mlflow=KedroMlflowConfig())
    manager = _create_hook_manager()
    for hook in HOOKS:
        if type(hook) in hooks:
            manager.register(hooks[type(hook)])

    def run(**changes):
        parameters = configured("parameters") | {"raw_dir": str(BASE)}  # any that is there
        parameters["gan"] |= changes
        hooks[PreflightHooks].parameters = check_parameters(parameters)
        manager.hook.before_pipeline_run(
            run_params={"project_path": str(tmp_path), "runner": "SequentialRunner"},
            pipeline=GAN,
            catalog=DataCatalog.from_config(configured("catalog")),
        )

    yield run
    hooks[TurnHooks].after_pipeline_run()


def of_a_run_under_way():
    """Its lock, and a checkpoint that is going as it is looked at."""
    (FOLDER / "checkpoint").mkdir(parents=True)
    (FOLDER / "checkpoint/000001_step_1.json").write_text("{}")
    return lock(FOLDER / ".lock", "the model", wait=False)


def test_a_model_in_use_is_refused_before_its_checkpoints_are_looked_at(begin, one_line_error):
    with of_a_run_under_way():
        assert "the model in 'data/06_models/gan' is in use by" in one_line_error(begin)
    assert "is damaged" in one_line_error(begin)


def test_a_refused_run_keeps_nothing_and_makes_nothing(begin, one_line_error):
    wrong = {"accelerator": "cpu", "precision": "16-mixed"}
    assert "needs a CUDA GPU" in one_line_error(begin, **wrong)
    assert list(Path().iterdir()) == []
    with of_a_run_under_way():
        pass
    made = sorted(Path().rglob("*"))
    assert "needs a CUDA GPU" in one_line_error(begin, **wrong)
    with lock(FOLDER / ".lock", "the model", wait=False):
        pass
    assert sorted(Path().rglob("*")) == made


def test_the_next_run_of_a_notebook_begins_after_one_that_was_interrupted(begin, one_line_error):
    begin()
    # Kedro tells no hook of Ctrl-C.
    begin()
    assert "in use" in one_line_error(lock(FOLDER / ".lock", "the model", wait=False).__enter__)


def test_a_run_interrupted_as_it_begins_keeps_nothing(begin, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with of_a_run_under_way():
        pass
    monkeypatch.setattr("cxr_pipeline.hooks.trainings_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        begin()
    with lock(FOLDER / ".lock", "the model", wait=False):
        pass
