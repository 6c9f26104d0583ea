from pathlib import Path

import pandas as pd
import pytest

from cxr_pipeline.data.label_checks import SHOWN, find_violations
from cxr_pipeline.data.label_files import read_label_rows
from cxr_pipeline.datasets import LabelRowsValidator

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
)


def rows_of(folder: Path, *lines: str):
    (folder / "mine.csv").write_bytes("\n".join([HEADER, *lines, ""]).encode())
    return read_label_rows(folder)


@pytest.fixture
def listed(tmp_path: Path):
    return tmp_path / "new/folder/violations.csv"


def test_good_rows_pass_and_the_list_holds_its_header_alone(tmp_path, listed):
    rows = rows_of(tmp_path, "a.png,Mass,0,1,58,M,PA")
    assert LabelRowsValidator(str(listed)).validate(rows) is rows
    table = pd.read_csv(listed)
    assert list(table.columns) == ["file", "line", "column", "value", "problem"]
    assert table.empty


def test_every_violation_is_in_the_list_that_the_error_names(tmp_path, listed):
    lines = [f"{number}.png,Gout,0,1,58,X,PA" for number in range(20)]
    rows = rows_of(tmp_path, *lines)
    with pytest.raises(ValueError, match=r"^40 violations in the labels: mine\.csv line") as error:
        LabelRowsValidator(str(listed)).validate(rows)
    message = str(error.value)
    assert f"; and {40 - SHOWN} more" in message
    assert message.endswith(f"(all in '{listed}')")
    table = pd.read_csv(listed)
    pd.testing.assert_frame_equal(table, find_violations(rows), check_dtype=False)
    assert table["line"].tolist() == [line for line in range(2, 22) for _ in range(2)]


@pytest.mark.parametrize("value", ["Go\rut", "Go\nut", 'Gout, "the king\'s"'])
def test_values_that_would_break_a_csv_are_kept_whole(tmp_path, listed, value):
    doubled = value.replace('"', '""')
    rows = rows_of(tmp_path, f'a.png,"{doubled}",0,1,58,M,PA')
    with pytest.raises(ValueError, match="1 violation in the labels") as error:
        LabelRowsValidator(str(listed)).validate(rows)
    assert str(error.value).splitlines() == [str(error.value)]
    assert pd.read_csv(listed)["value"].tolist() == [value]


def test_mended_labels_leave_no_old_violations_behind(tmp_path, listed):
    validator = LabelRowsValidator(str(listed))
    with pytest.raises(ValueError, match="is not PA or AP"):
        validator.validate(rows_of(tmp_path, "a.png,Mass,0,1,58,M,LL"))
    assert len(pd.read_csv(listed)) == 1
    validator.validate(rows_of(tmp_path, "a.png,Mass,0,1,58,M,PA"))
    assert pd.read_csv(listed).empty
