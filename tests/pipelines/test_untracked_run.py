"""`kedro run --pipeline=gan` with an MLflow in trouble: the same files, and a warning."""

import shutil
import socket
import sqlite3
from pathlib import Path

import pytest
from tests.conftest import Project
from tests.mlflow_server import MlflowServer

PARAMETERS = "gan.max_steps=3,gan.batch_size=4,gan.samples=5,gan.precision=32-true,gan.log_every=1"
MADE = ["06_models/gan/weights.safetensors", "08_reporting/gan/history.csv"]


def train(project, raw_dir):
    """Run; what was made (without the times that it took) and what was warned of."""
    result = project.run("--pipeline=gan", f"--params=raw_dir={raw_dir},{PARAMETERS}")
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    assert "Traceback" not in output, output
    data = project.folder / "data"
    weights, history = ((data / path).read_bytes() for path in MADE)
    lines = [line for line in history.splitlines() if b",speed/" not in line and b"," in line]
    files = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
    assert "08_reporting/report.html" in files
    warnings = [line for line in output.splitlines() if "WARNING" in line and "MLflow" in line]
    return (weights, [line for line in lines if b"speed/" not in line], files), warnings


@pytest.fixture(scope="module")
def tracked(tmp_path_factory, few_images):
    """What a run makes that MLflow tracks, and its database."""
    project = Project(tmp_path_factory.mktemp("project"))
    made, warnings = train(project, few_images)
    assert warnings == []
    return made, project.folder / "tracking.db"


def nobody_listens(folder: Path, database: Path) -> str:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


def no_folder(folder: Path, database: Path) -> str:
    (folder / "file").write_text("in the way")
    return f"sqlite:///{folder / 'file/tracking.db'}"


def no_database(folder: Path, database: Path) -> str:
    (folder / "tracking.db").write_text("no database at all" * 100)
    return f"sqlite:///{folder / 'tracking.db'}"


def read_only(folder: Path, database: Path) -> str:
    shutil.copy(database, folder)
    return f"sqlite:///file:{folder / 'tracking.db'}?mode=ro&uri=true"


@pytest.mark.parametrize("trouble", [nobody_listens, no_folder, no_database, read_only])
def test_without_mlflow_a_run_makes_the_same_and_says_once_that_it_is_not_tracked(
    trouble, tracked, project, few_images
):
    project.database = trouble(project.folder.parent, tracked[1])
    made, warnings = train(project, few_images)
    assert made == tracked[0]
    (warning,) = warnings
    assert f"This run is not tracked: MLflow at '{project.database}' cannot be used (" in warning


@pytest.mark.slow
def test_a_database_that_another_process_keeps_locked(tracked, project, few_images):
    database = project.folder / "tracking.db"
    shutil.copy(tracked[1], database)
    lock = sqlite3.connect(database, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    made, warnings = train(project, few_images)
    assert made == tracked[0]
    (warning,) = warnings
    assert "database is locked" in warning


@pytest.fixture
def server(request, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    server = MlflowServer(request.param)
    yield server
    server.close()


def test_a_server_that_never_answers(tracked, project, few_images, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        project.database = f"http://127.0.0.1:{silent.getsockname()[1]}"
        made, warnings = train(project, few_images)
    assert made == tracked[0]
    (warning,) = warnings
    assert "This run is not tracked" in warning


@pytest.mark.parametrize("server", ["hangs", "drops", "says 500"], indirect=True)
def test_a_server_that_fails_in_the_middle_of_training(server, tracked, project, few_images):
    project.database = server.address
    made, warnings = train(project, few_images)
    assert made == tracked[0]
    assert [path for path in server.seen if path.endswith("/runs/create")]
    assert server.seen_broken
    assert any("MLflow did not take the metrics of step" in line for line in warnings)
    assert len(warnings) <= 5
