import gzip
import logging

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.conftest import CXR_LT_HEADER, HEADER

from cxr_pipeline.data.findings import CLASSES, FINDINGS, NO_FINDING
from cxr_pipeline.data.label_files import TEXT_COLUMNS, find_label_files, read_label_rows

NEEDED = (
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
)
BOXES = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00013118_008.png,Atelectasis,1,2,3,4,,,\n"


def images_of(folder, **arguments):
    return read_label_rows(folder, **arguments).table["image"].tolist()


def pack(path):
    """Replace a file by its .gz."""
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


# -- what is read --------------------------------------------------------------------------------


def test_a_file_of_2017_is_read_as_text_with_its_lines(tmp_path, row, write_csv):
    lines = [row("a.png", "Mass|Hernia", "3", "00013", "058Y", "F", "AP"), "", row("b.png", age="")]
    write_csv(tmp_path, lines, name="Data_Entry_2017.csv", end=",")
    rows = read_label_rows(tmp_path)
    assert list(rows.table.columns) == ["file", "line", *TEXT_COLUMNS]
    first, second = rows.table.to_dict("records")
    assert first | {"split": None, "cells": None} == {
        "file": "Data_Entry_2017.csv",
        "line": 2,
        "image": "a.png",
        "patient": "00013",
        "follow_up": "3",
        "age": "058Y",
        "sex": "F",
        "view": "AP",
        "findings": "Mass|Hernia",
        "split": None,
        "cells": None,
    }
    assert second["line"] == 4
    assert pd.isna(second["age"])
    assert rows.classes == (*FINDINGS, NO_FINDING)
    assert rows.beside is None


def test_every_column_is_text_even_where_no_file_has_it(tmp_path, row, write_csv, lt_row, write_lt):
    write_csv(tmp_path / "nih", [row(age="", sex="", view="", findings="")])
    write_lt(tmp_path / "lt", "train", [lt_row()])
    for folder in ("nih", "lt"):
        types = read_label_rows(tmp_path / folder).table.dtypes
        assert types[list(TEXT_COLUMNS)].astype(str).unique().tolist() == ["str"]


def test_files_of_cxr_lt_are_read_together_each_with_its_split(tmp_path, lt_row, write_lt):
    write_lt(tmp_path, "train", [lt_row("a.png", "Pleural_Thickening|Tortuous Aorta")])
    pack(write_lt(tmp_path, "val", ["", lt_row("b.png", "", "00000002")]))
    write_lt(tmp_path, "test", [lt_row("c.png", patient="3")])
    rows = read_label_rows(tmp_path)
    cells = rows.table[["file", "line", "image", "patient", "findings", "split"]]
    assert sorted(cells.fillna("").itertuples(index=False, name=None)) == [
        ("nih-cxr-lt_test.csv", 2, "c.png", "3", "No Finding", "test"),
        (
            "nih-cxr-lt_train.csv",
            2,
            "a.png",
            "00000001",
            "Pleural_Thickening|Tortuous Aorta",
            "train",
        ),
        ("nih-cxr-lt_val.csv.gz", 3, "b.png", "00000002", "", "validation"),
    ]
    assert rows.classes == CLASSES
    assert rows.table.index.is_unique


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("nih-cxr-lt_train.csv", "train"),
        ("Validation.csv", "validation"),
        ("nih-cxr-lt_single-label_balanced-val.csv", "validation"),
        ("labels.TEST.csv", "test"),
        ("contest.csv", None),
        ("interval.csv", None),
        ("test_labels.csv", None),
    ],
)
def test_the_split_is_how_the_name_of_a_file_of_cxr_lt_ends(
    tmp_path, lt_row, write_csv, name, split
):
    write_csv(tmp_path, [lt_row()], name=name, header=CXR_LT_HEADER)
    assert read_label_rows(tmp_path).table["split"].fillna("").tolist() == [split or ""]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(data=st.data())
def test_one_hot_cells_say_the_same_in_any_order_of_columns_and_as_floats(
    tmp_path_factory, write_csv, data
):
    flags = data.draw(st.lists(st.sets(st.sampled_from(CLASSES)), min_size=1, max_size=5))
    order = data.draw(st.permutations([*CLASSES, "id", "subj_id"]))
    underscores = data.draw(st.booleans())
    spelt = {name: name if underscores else name.replace("_", " ") for name in CLASSES}
    yes, no = data.draw(st.sampled_from([("1", "0"), ("1.0", "0.0"), (" 1 ", ' "0"')]))

    def cell(name, number, row):
        named = {"id": f"{number}.png", "subj_id": str(number)}
        return named.get(name) or (yes if name in row else no)

    lines = [",".join(cell(name, n, row) for name in order) for n, row in enumerate(flags)]
    folder = tmp_path_factory.mktemp("lt")
    write_csv(folder, lines, name="x.csv", header=",".join(spelt.get(name, name) for name in order))
    texts = read_label_rows(folder).table["findings"].fillna("")
    assert [set(text.split("|")) - {""} for text in texts] == flags


@pytest.mark.parametrize("cell", ["2", "", "-1", "yes", "0.5", "True"])
def test_a_cell_that_is_neither_0_nor_1_stands_in_the_text(tmp_path, write_csv, cell):
    header = "id,Mass,Hernia,No Finding,subj_id"
    write_csv(tmp_path, [f"a.png,{cell},1,0,7"], name="x_train.csv", header=header)
    assert read_label_rows(tmp_path).table["findings"].tolist() == [f"Mass={cell}|Hernia"]


def test_row_numbers_that_pandas_wrote_and_trailing_commas_are_no_findings(tmp_path, write_csv):
    header = ",id,Mass,No Finding,subj_id,"
    write_csv(tmp_path, ["0,a.png,1,0,7,", "1,b.png,0,1,8,"], name="x.csv", header=header)
    rows = read_label_rows(tmp_path)
    assert rows.table["findings"].tolist() == ["Mass", "No Finding"]
    assert rows.table["cells"].isna().all()
    assert rows.classes == ("Mass", "No Finding")


def test_names_of_findings_are_made_ours_and_unknown_ones_stay(tmp_path, row, write_csv):
    texts = ["pleural thickening | MASS", "Gout|mass", "|", " No finding "]
    write_csv(tmp_path, [row(f"{number}.png", text) for number, text in enumerate(texts)])
    findings = read_label_rows(tmp_path).table["findings"].tolist()
    assert findings == ["Pleural_Thickening|Mass", "Gout|Mass", "", "No Finding"]


def test_a_file_in_nihs_columns_knows_the_further_findings_that_it_names(tmp_path, row, write_csv):
    write_csv(tmp_path, [row("a.png", "Tortuous Aorta|Mass"), row("b.png", "Gout")])
    assert read_label_rows(tmp_path).classes == (*FINDINGS, "Tortuous Aorta", NO_FINDING)


def test_windows_files_with_a_byte_order_mark_spaces_and_quoted_commas(tmp_path, row, write_csv):
    path = write_csv(tmp_path, [row(' "a,1.png"', ' "Mass | Nodule"', patient=" 7 ", sex=" F ")])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    only = read_label_rows(tmp_path).table.iloc[0]
    assert only[["image", "findings", "patient", "sex"]].tolist() == [
        "a,1.png",
        "Mass|Nodule",
        "7",
        "F",
    ]


def test_lines_that_end_in_a_comma_under_a_header_that_does_not_are_read_in_place(
    tmp_path, row, write_csv
):
    path = write_csv(tmp_path, [])
    path.write_text(path.read_text() + row("a.png", "Mass", patient="9") + ",\n")
    table = read_label_rows(tmp_path).table
    assert table[["image", "findings", "patient"]].to_numpy().tolist() == [["a.png", "Mass", "9"]]
    assert table["cells"].isna().all()


def test_columns_may_come_in_any_order_with_others_between(tmp_path):
    header = [*reversed(NEEDED), "Extra"]
    cells = {"Image Index": "a.png", "Finding Labels": "Hernia", "Patient ID": "4", "Extra": "?"}
    (tmp_path / "mine.csv").write_text(
        ",".join(header) + "\n" + ",".join(cells.get(name, "") for name in header) + "\n"
    )
    table = read_label_rows(tmp_path).table
    assert table[["image", "findings", "patient"]].to_numpy().tolist() == [["a.png", "Hernia", "4"]]


def test_nihs_column_of_sexes_may_go_by_either_name(tmp_path, row, write_csv):
    header = HEADER.replace("Patient Gender", "Patient Sex")
    write_csv(tmp_path, [row(sex="F")], header=header)
    assert read_label_rows(tmp_path).table["sex"].tolist() == ["F"]


def test_an_image_named_as_pandas_names_what_is_missing_keeps_its_name(tmp_path, row, write_csv):
    write_csv(tmp_path, [row(name) for name in ("NA", "nan", "None", "null")])
    assert images_of(tmp_path) == ["NA", "nan", "None", "null"]


def test_nihs_rows_beside_those_of_cxr_lt_are_read_too(tmp_path, row, write_csv, lt_row, write_lt):
    write_lt(tmp_path, "test", [lt_row("a.png")])
    write_csv(tmp_path, [row("b.png"), row("a.png", view="AP")])
    rows = read_label_rows(tmp_path, "cxr_lt")
    assert rows.table["image"].tolist() == ["a.png"]
    assert rows.beside[["image", "line", "view"]].to_numpy().tolist() == [
        ["b.png", 2, "PA"],
        ["a.png", 3, "AP"],
    ]


# -- which files are read ------------------------------------------------------------------------


def test_the_corrected_file_wins_over_the_file_of_2017_and_over_others(tmp_path, row, write_csv):
    write_csv(tmp_path, [row("other.png")], name="other.csv")
    write_csv(tmp_path, [row("old.png")], name="Data_Entry_2017.csv")
    assert images_of(tmp_path) == ["old.png"]
    pack(write_csv(tmp_path, [row("new.png")]))
    assert images_of(tmp_path) == ["new.png"]


def test_a_plain_file_stands_for_its_gz(tmp_path, row, write_csv, lt_row, write_lt):
    pack(write_csv(tmp_path / "nih", [row("packed.png")]))
    write_csv(tmp_path / "nih", [row("plain.png")])
    assert images_of(tmp_path / "nih") == ["plain.png"]
    pack(write_lt(tmp_path / "lt", "train", [lt_row("a.png")]))
    write_lt(tmp_path / "lt", "train", [lt_row("a.png")])
    assert images_of(tmp_path / "lt") == ["a.png"]


def test_other_csvs_in_the_folder_are_left_alone(tmp_path, row, write_csv):
    write_csv(tmp_path, [row("a.png")])
    (tmp_path / "BBox_List_2017.csv").write_text(BOXES)
    (tmp_path / "people.csv").write_text("id,name\n1,x\n")
    (tmp_path / "._Data_Entry_2017_v2020.csv").write_bytes(b"\x00\x05\x16\x07\xff")
    (tmp_path / "folder.csv").mkdir()
    assert images_of(tmp_path) == ["a.png"]


def test_the_files_read_are_named_in_the_log(tmp_path, row, write_csv, caplog):
    path = write_csv(tmp_path, [row()])
    with caplog.at_level(logging.INFO):
        read_label_rows(tmp_path)
    assert f"Labels from '{path}'" in caplog.text


def test_a_label_file_can_be_named_itself(tmp_path, row, write_csv, lt_row, write_lt):
    write_csv(tmp_path, [row("first.png")], name="first.csv")
    second = write_csv(tmp_path, [row("second.png")], name="second.csv")
    assert images_of(second) == ["second.png"]
    third = write_lt(tmp_path, "val", [lt_row("third.png")])
    assert images_of(third) == ["third.png"]
    assert read_label_rows(third).table["split"].tolist() == ["validation"]


def test_a_named_file_of_the_other_source_is_refused(tmp_path, row, write_csv, one_line_error):
    path = write_csv(tmp_path, [row()])
    assert "lacks the column(s) id, subj_id" in one_line_error(read_label_rows, path, "cxr_lt")


def test_the_home_directory_may_be_abbreviated(tmp_path, row, write_csv, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_csv(tmp_path / "cxr", [row("a.png")])
    assert images_of("~/cxr") == ["a.png"]


@pytest.mark.parametrize("place", ["/nowhere/x", "~nobody-of-that-name/x", "\0"])
def test_an_absent_folder_is_named(one_line_error, place):
    assert f"raw_dir '{place}' does not exist" in one_line_error(find_label_files, place)


def test_a_folder_without_csv_is_named(tmp_path, one_line_error):
    message = one_line_error(find_label_files, tmp_path)
    assert f"raw_dir '{tmp_path}' holds no CSV with labels: put NIH's Data_Entry" in message


def test_several_files_with_nihs_columns_are_all_named(tmp_path, row, write_csv, one_line_error):
    for name in ("b.csv", "a.csv"):
        write_csv(tmp_path, [row()], name=name)
    pack(write_csv(tmp_path, [row()], name="c.csv"))
    assert "holds a.csv, b.csv, c.csv.gz:" in one_line_error(find_label_files, tmp_path)


def test_several_files_with_nihs_columns_beside_cxr_lts_are_named_too(
    tmp_path, row, write_csv, lt_row, write_lt, one_line_error
):
    for name in ("b.csv", "a.csv"):
        write_csv(tmp_path, [row()], name=name)
    write_lt(tmp_path, "test", [lt_row()])
    assert "holds a.csv, b.csv:" in one_line_error(find_label_files, tmp_path, "cxr_lt")


def test_both_kinds_of_labels_ask_for_a_choice(
    tmp_path, row, write_csv, lt_row, write_lt, one_line_error
):
    write_csv(tmp_path, [row("nih.png")])
    write_lt(tmp_path, "test", [lt_row("lt.png")])
    message = one_line_error(find_label_files, tmp_path)
    assert "NIH (Data_Entry_2017_v2020.csv) and of NIH-CXR-LT (nih-cxr-lt_test.csv)" in message
    assert "labels.source=nih or labels.source=cxr_lt" in message
    assert images_of(tmp_path, source="nih") == ["nih.png"]
    assert images_of(tmp_path, source="cxr_lt") == ["lt.png"]


def test_a_source_that_the_folder_lacks_is_named(
    tmp_path, row, write_csv, lt_row, write_lt, one_line_error
):
    write_csv(tmp_path / "nih", [row()])
    write_lt(tmp_path / "lt", "test", [lt_row()])
    assert "holds no CSV of NIH-CXR-LT" in one_line_error(
        find_label_files, tmp_path / "nih", "cxr_lt"
    )
    assert "holds no CSV with labels" in one_line_error(find_label_files, tmp_path / "lt", "nih")


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("column", NEEDED)
def test_a_missing_column_of_nihs_is_named(tmp_path, row, write_csv, one_line_error, column):
    path = write_csv(tmp_path, [row()])
    path.write_text(path.read_text().replace(column, "Renamed", 1))
    message = one_line_error(read_label_rows, tmp_path)
    assert f"'{path}' lacks the column(s) {column}:" in message


def test_all_missing_columns_are_named_together(tmp_path, one_line_error):
    (tmp_path / "x.csv").write_text("Image Index,Patient ID\na.png,1\n")
    message = one_line_error(read_label_rows, tmp_path)
    missing = ", ".join(name for name in NEEDED if name not in {"Image Index", "Patient ID"})
    assert f"lacks the column(s) {missing}:" in message


def test_nihs_boxes_alone_are_no_labels(tmp_path, one_line_error):
    (tmp_path / "BBox_List_2017.csv").write_text(BOXES)
    message = one_line_error(read_label_rows, tmp_path)
    assert "BBox_List_2017.csv' lacks the column(s) Finding Labels" in message


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("id,Mass,No Finding", "lacks the column(s) subj_id"),
        ("id,subj_id,Mass", "lacks the column No Finding or"),
        ("id,subj_id,No Finding", "lacks the column No Finding or"),
        ("id,subj_id,No Finding,Mass,Gout", "unknown finding 'Gout' in its header"),
        ("id,subj_id,No Finding,Mass,mass", "has the column Mass more than once"),
        ("id,subj_id,No Finding,Mass,id", "has the column id more than once"),
    ],
)
def test_a_header_of_cxr_lt_that_is_not_its_own_is_refused(
    tmp_path, write_lt, one_line_error, header, expected
):
    path = write_lt(tmp_path, "train", ["a.png,1,0,0,0"], header=header)
    message = one_line_error(read_label_rows, tmp_path)
    assert f"label file '{path}'" in message
    assert expected in message


def test_a_column_of_nihs_that_comes_twice_is_named(tmp_path, row, write_csv, one_line_error):
    write_csv(tmp_path, [row()], header=HEADER.replace("Height]", "Patient ID"))
    assert "has the column Patient ID more than once" in one_line_error(read_label_rows, tmp_path)


def test_files_of_cxr_lt_that_know_other_findings_are_named_with_the_difference(
    tmp_path, lt_row, write_lt, one_line_error
):
    write_lt(tmp_path, "test", [lt_row("a.png")])
    write_lt(tmp_path, "train", ["b.png,1,0,2"], header="id,Mass,No Finding,subj_id")
    message = one_line_error(read_label_rows, tmp_path)
    assert "'nih-cxr-lt_test.csv' and 'nih-cxr-lt_train.csv' differ in the findings" in message
    assert "Hernia" in message
    assert "Mass" not in message


@pytest.mark.parametrize("end", ["", "\n", "\n\n , \n"])
def test_a_header_without_rows_is_refused(tmp_path, one_line_error, end):
    for name, header in [("nih.csv", HEADER), ("lt_train.csv", CXR_LT_HEADER)]:
        path = tmp_path / name
        path.write_text(header + end)
        assert f"'{path}' lists no image" in one_line_error(read_label_rows, path)


def test_a_damaged_csv_beside_the_labels_is_named_as_it_might_be_some(
    tmp_path, lt_row, write_lt, one_line_error
):
    write_lt(tmp_path, "test", [lt_row()])
    packed = pack(write_lt(tmp_path, "train", [lt_row("b.png")]))
    packed.write_bytes(b"")
    message = one_line_error(read_label_rows, tmp_path)
    assert f"'{packed}' is no readable CSV (it is blank)" in message
    assert "move it out of the folder" in message


TEXT = st.text(st.sampled_from('aM10,|"\n\r\x00\x1f =é\u2028/\\'), max_size=8)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    header=st.sampled_from([HEADER, CXR_LT_HEADER, "id,Mass,No Finding,subj_id", "Image Index"]),
    lines=st.lists(st.lists(TEXT, max_size=12).map(",".join), max_size=5),
)
def test_any_text_under_any_header_is_read_or_refused_in_one_line(
    tmp_path_factory, write_csv, one_line_error, header, lines
):
    path = write_csv(tmp_path_factory.mktemp("any"), lines, header=header)
    try:
        rows = read_label_rows(path)
    except ValueError:
        assert str(path) in one_line_error(read_label_rows, path)
    else:
        assert rows.table["line"].is_monotonic_increasing


# -- real files ----------------------------------------------------------------------------------


def test_the_whole_of_nihs_file_is_read_line_by_line(shared_data):
    rows = read_label_rows(shared_data / "Data_Entry_2017_v2020.csv.gz").table
    assert rows["line"].tolist() == list(range(2, 112_122))
    assert rows["cells"].isna().all()


def test_the_files_of_cxr_lt_are_found_in_their_folder(shared_data):
    files = find_label_files(shared_data / "cxr_lt")
    assert files.source == "cxr_lt"
    names = [path.name for path in files.paths]
    assert names == ["nih-cxr-lt_test.csv.gz", "nih-cxr-lt_val.csv.gz"]
    assert read_label_rows(shared_data / "cxr_lt").classes == CLASSES
