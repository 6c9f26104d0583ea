"""docs/adding_a_model.md, followed word for word in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs/adding_a_model.md").read_text()
BLOCKS = re.findall(r"^```(python|yaml|diff)\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

RUN = [
    "max_steps=2", "batch_size=4", "samples=2", "dim_z=4", "log_every=1",
]  # fmt: skip


def edit(text: str, hunk: str) -> str:
    """Make of the lines that a hunk takes away or keeps those that it keeps or adds."""
    lines = hunk.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    assert text.count(before) == 1, before
    return text.replace(before, after)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the page's model in it."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("src", "conf", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "local")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(REPOSITORY / name, folder)
    (folder / "conf/local").mkdir()
    (folder / "docs").mkdir()
    for kind, name, content in BLOCKS:
        path = folder / name
        if kind == "diff":
            text = path.read_text()
            for hunk in content.split("@@\n"):
                text = edit(text, hunk)
            path.write_text(text)
        elif kind == "yaml":
            path.write_text(f"{path.read_text()}\n{content}")
        else:
            assert not path.exists()
            path.write_text(content)
    return folder


def run(folder: Path, *arguments: str) -> str:
    environment = {
        "PYTHONPATH": os.pathsep.join([str(folder / "src"), str(folder)]),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'tracking.db'}",
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_number_of_files_is_the_one_that_the_page_says():
    new = {name for kind, name, _ in BLOCKS if kind == "python"}
    edited = {name for kind, name, _ in BLOCKS if kind != "python"}
    assert (len(new), len(edited)) == (3, 9)
    assert "Three new files and nine edits" in PAGE


def test_the_model_of_the_page_is_trained_drawn_from_and_reported(copy, few_images):
    run(copy, "-m", "cxr_pipeline.parameters.reference")
    assert "`autoencoder.dim_z`" in (copy / "docs/parameters.md").read_text()
    own = ",".join(f"autoencoder.{setting}" for setting in RUN)
    parameters = f"--params=raw_dir={few_images},{own}"
    said = run(copy, "-m", "kedro", "run", "--pipeline=autoencoder", parameters)
    assert "loss/total" in said
    assert (copy / "data/08_reporting/autoencoder/reconstructions.png").is_file()
    assert len([*(copy / "data/07_model_output/autoencoder/images").iterdir()]) == 2
    code = "import cxr_pipeline; load = cxr_pipeline.load_generator; print(cxr_pipeline.__file__)"
    draw = "print(tuple(load('data/06_models/autoencoder').sample(3).shape))"
    origin, shape = run(copy, "-c", f"{code}\n{draw}").splitlines()
    assert Path(origin).is_relative_to(copy)
    assert shape == "(3, 1, 128, 128)"


def test_the_page_s_own_tests_pass(copy):
    own = [name for kind, name, _ in BLOCKS if name.startswith("tests/") and kind == "python"]
    trained = (
        "tests/test_hooks.py::test_what_a_pipeline_trains_is_known_beforehand_and_no_folder_is_made"
    )
    assert "passed" in run(copy, "-m", "pytest", "-q", *own, trained)
