import shutil

import mlflow
import pytest

from cxr_pipeline.tracking.sending import sender


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """MLflow takes seconds to make its tables: it does so once."""
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # where its runs will keep their files
        mlflow.MlflowClient(f"sqlite:///{folder / 'tracking.db'}").search_experiments()
    return folder / "tracking.db"


@pytest.fixture
def client(tmp_path, monkeypatch, empty_database):
    """A database of one's own, which the functions of `tracking` use."""
    uri = f"sqlite:///{shutil.copy(empty_database, tmp_path)}"
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(uri)
    sender.begin()
    yield mlflow.MlflowClient(uri)
    sender.flush()
    sender.begin()
    while mlflow.active_run():
        mlflow.end_run()
