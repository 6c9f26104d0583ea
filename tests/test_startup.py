import os
import shutil
import subprocess
import sys
from pathlib import Path

from cxr_pipeline import startup


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
