"""That a project opens is seen in `tests/notebooks`: Kedro opens one a process."""

from pathlib import Path

from cxr_pipeline.notebook import open_project


def test_a_folder_outside_of_any_project_is_refused(tmp_path: Path, one_line_error):
    message = one_line_error(open_project, tmp_path)
    assert message == f"folder='{tmp_path}' lies in no Kedro project: name the checkout's"
