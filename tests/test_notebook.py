"""How a project opens; more is seen in `tests/notebooks`. Kedro opens one a process."""

import subprocess
import sys
from pathlib import Path

import pytest

from cxr_pipeline.notebook import open_project


def test_a_folder_outside_of_any_project_is_refused(tmp_path: Path, one_line_error):
    message = one_line_error(open_project, tmp_path)
    assert message == f"folder='{tmp_path}' lies in no Kedro project: name the checkout's"


@pytest.mark.parametrize("before", ["", "import kedro.framework.project"], ids=["first", "late"])
def test_nothing_is_said_of_what_is_loaded(project, before):
    below = project.folder / "notebooks"
    below.mkdir()
    code = (
        f"{before}\nprint('opened', flush=True)\n"
        "from cxr_pipeline.notebook import open_project\n"
        "assert open_project().catalog.load('params:raw_dir')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=below,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    # What Kedro says of itself before it knows of the project is no news of ours.
    assert done.stdout.partition("opened\n")[2] == ""
