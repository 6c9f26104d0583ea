"""The notebooks: stored bare, defining nothing, and run from beginning to end as a user does."""

import ast
import json
import re
import shutil
from pathlib import Path

import nbclient
import nbformat
import pytest
from tests.conftest import REPOSITORY, Project

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

TINY = "gan.max_steps=2,gan.batch_size=4,gan.samples=2,gan.precision=32-true,gan.conditional=true"

OWN = re.compile(r" INFO +(Training gan on|step \d+ of) | WARNING No image in the validation split")
"""What training says of itself, and of the few images that the tests train on."""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells_of(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def source_of(cell: dict) -> str:
    return "".join(cell["source"])


def test_the_notebooks_are_those_that_the_readme_names():
    names = ["01_explore_cxr14", "02_train_and_sample", "03_compare_models"]
    assert [path.stem for path in NOTEBOOKS] == names


@every_notebook
def test_a_notebook_is_stored_without_what_it_printed(path):
    for cell in cells_of(path, "code"):
        assert (cell["outputs"], cell["execution_count"]) == ([], None), source_of(cell)
        assert cell["metadata"] == {}


@every_notebook
def test_a_notebook_defines_nothing_worth_importing(path):
    for cell in cells_of(path, "code"):
        lines = source_of(cell).splitlines()
        code = ast.parse("\n".join(line for line in lines if not line.startswith("%")))
        found = [node.name for node in ast.walk(code) if isinstance(node, DEFINITIONS)]
        assert found == []


@every_notebook
def test_a_notebook_says_what_it_does(path):
    first = json.loads(path.read_text())["cells"][0]
    assert first["cell_type"] == "markdown"
    assert source_of(first).startswith("# ")
    assert "make run" in source_of(first)
    assert len(cells_of(path, "markdown")) >= len(cells_of(path, "code")) / 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory, few_images):
    """A project in which a tiny GAN was trained, with the notebooks beside its data."""
    project = Project(tmp_path_factory.mktemp("project"))
    result = project.run("--pipeline=gan", f"--params=raw_dir={few_images},{TINY}")
    assert result.returncode == 0, result.stderr
    local = project.folder / "conf/local/parameters.yml"
    local.write_text(f"raw_dir: {few_images}\n")  # as a user who has data of his own
    shutil.copytree(REPOSITORY / "notebooks", project.folder / "notebooks")
    return project


@pytest.fixture
def execute(trained, monkeypatch):
    """Run a notebook as Jupyter does, in its own folder; return what its cells showed."""
    for name, value in trained.environment().items():
        monkeypatch.setenv(name, value)

    def execute(name: str) -> list:
        folder = trained.folder / "notebooks"
        notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        resources = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
        shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        said = [line for text in texts(shown) for line in text.splitlines()]
        said = "\n".join(line for line in said if not OWN.search(line)).lower()
        for notice in ("warn", "info", "loading data"):  # libraries keep theirs to themselves
            assert notice not in said, said
        return shown

    return execute


def pictures(shown: list) -> int:
    return sum("image/png" in output.get("data", {}) for output in shown)


def texts(shown: list) -> list[str]:
    """All that is to be read: in Jupyter, Rich displays its lines, as tables are."""
    displayed = [output.get("data", {}).get("text/plain", "") for output in shown]
    return [printed(shown), *displayed]


def printed(shown: list) -> str:
    return "".join(output["text"] for output in shown if output["output_type"] == "stream")


def test_the_first_shows_labels_charts_and_images(execute):
    shown = execute("01_explore_cxr14")
    assert pictures(shown) == 5
    assert "48 images of " in printed(shown)


def test_the_second_trains_a_gan_of_its_own_and_leaves_the_trained_one_alone(execute, trained):
    data = trained.folder / "data"
    before = (data / "06_models/gan/config.json").read_bytes()
    shown = execute("02_train_and_sample")
    assert pictures(shown) == 4  # two sheets as training goes on, the losses, samples
    config = json.loads((data / "06_models/notebook/gan/config.json").read_text())
    assert (config["model"], config["steps"]) == ("gan", 20)
    assert len(list((data / "07_model_output/notebook/images").iterdir())) == 32
    assert (data / "06_models/gan/config.json").read_bytes() == before


def test_the_third_shows_runs_and_latents(execute):
    shown = execute("03_compare_models")
    tables = [output.get("data", {}).get("text/html", "") for output in shown]
    assert any("loss/discriminator" in table for table in tables)
    # Both losses, samples, and the four looks at a conditional GAN.
    assert pictures(shown) == 2 + 1 + 4
