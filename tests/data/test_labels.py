import csv
import gzip
import logging
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.findings import FINDINGS, NO_FINDING, PAPER_COUNTS
from cxr_pipeline.data.labels import (
    check_labels,
    find_label_file,
    findings_text,
    read_labels,
)
from cxr_pipeline.data.splits import split_by_patient

NEEDED = (
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
)
AGES = st.one_of(
    st.integers(0, 120).map(lambda years: (str(years), years)),
    st.integers(0, 120).map(lambda years: (f"{years:03d}Y", years)),
    st.integers(0, 999).map(lambda months: (f"{months:03d}M", months // 12)),
    st.integers(0, 999).map(lambda days: (f"{days:03d}D", days // 365)),
    st.integers(121, 999).map(lambda years: (str(years), None)),
    st.sampled_from(["", "old", "5.5", "-3"]).map(lambda text: (text, None)),
)
FINDING_SETS = st.one_of(
    st.sets(st.sampled_from(FINDINGS), max_size=4), st.just({NO_FINDING}), st.just(set())
)


@st.composite
def label_tables(draw):
    """Rows as NIH's file holds them, each with what they mean."""
    rows = []
    for number in range(draw(st.integers(1, 12))):
        text, years = draw(AGES)
        rows.append(
            {
                "image": f"{number:08d}_000.png",
                "findings": draw(FINDING_SETS),
                "follow_up": draw(st.integers(0, 183)),
                "patient": str(draw(st.integers(1, 5))),
                "age_text": text,
                "age": years,
                "sex": draw(st.sampled_from(["M", "F", ""])),
                "view": draw(st.sampled_from(["PA", "AP", ""])),
            }
        )
    return rows


def single_line_error(action, *arguments):
    with pytest.raises(ValueError, match=r"\S") as caught:
        action(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def flagged(table):
    """Each row's set of findings."""
    names = [*FINDINGS, NO_FINDING]
    return [{name for name in names if flags[name]} for flags in table[names].to_dict("records")]


# -- what is read --------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=60)
@given(rows=label_tables(), trailing=st.booleans(), compressed=st.booleans())
def test_any_valid_file_is_read_as_it_is_written(row, rows, trailing, compressed):
    lines = [
        row(
            entry["image"],
            "|".join(sorted(entry["findings"])),
            str(entry["follow_up"]),
            entry["patient"],
            entry["age_text"],
            entry["sex"],
            entry["view"],
        )
        for entry in rows
    ]
    header = ",".join(NEEDED) + ",OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    text = "".join(f"{line}{',' if trailing else ''}\n" for line in [header, *lines])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("Data_Entry_2017.csv.gz" if compressed else "Data_Entry_2017.csv")
        path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
        table = read_labels(folder)

    for column in ("image", "follow_up", "patient"):
        assert table[column].tolist() == [entry[column] for entry in rows]
    assert [None if pd.isna(age) else age for age in table["age"]] == [e["age"] for e in rows]
    for column in ("sex", "view"):
        assert table[column].fillna("").tolist() == [entry[column] for entry in rows]
    assert flagged(table) == [entry["findings"] for entry in rows]
    assert [set(text.split("|")) - {""} for text in findings_text(table)] == flagged(table)
    checked = table.assign(
        split=split_by_patient(table["patient"], validation=0.1, test=0.1, seed=0)
    )
    assert check_labels(checked) is checked


def test_file_of_2017_with_its_trailing_column_and_odd_ages(tmp_path, row, write_csv, caplog):
    ages = ["058Y", "411", "60", "011M", "023D"]
    rows = [row(f"{number}.png", age=age) for number, age in enumerate(ages)]
    write_csv(tmp_path, rows, name="Data_Entry_2017.csv", end=",")
    with caplog.at_level(logging.WARNING):
        table = read_labels(tmp_path)
    assert list(table.columns) == [
        "image", "follow_up", "patient", "age", "sex", "view", *FINDINGS, NO_FINDING,
    ]  # fmt: skip
    assert table["age"].fillna(-1).tolist() == [58, -1, 60, 0, 0]
    assert "1 of 5 ages are impossible (the first: '411')" in caplog.text


def test_lines_that_end_in_a_comma_under_a_header_that_does_not_are_read_in_place(
    tmp_path, row, write_csv
):
    path = write_csv(tmp_path, [])
    path.write_text(path.read_text() + row("a.png", "Mass", patient="9") + ",\n")
    table = read_labels(tmp_path)
    assert table["image"].tolist() == ["a.png"]
    assert table["patient"].tolist() == ["9"]
    assert flagged(table) == [{"Mass"}]


def test_possible_ages_are_not_warned_of(tmp_path, row, write_csv, caplog):
    write_csv(tmp_path, [row(age="120"), row("b.png", age="")])
    with caplog.at_level(logging.WARNING):
        table = read_labels(tmp_path)
    assert table["age"].fillna(-1).tolist() == [120, -1]
    assert caplog.text == ""


def test_a_byte_order_mark_and_windows_line_ends_are_taken(tmp_path, row, write_csv):
    path = write_csv(tmp_path, [row("a.png", "Mass|Nodule")])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    table = read_labels(tmp_path)
    assert table["image"].tolist() == ["a.png"]
    assert flagged(table) == [{"Mass", "Nodule"}]


def test_columns_may_come_in_any_order_with_others_between(tmp_path):
    header = [*reversed(NEEDED), "Extra"]
    cells = {"Image Index": "a.png", "Finding Labels": "Hernia", "Patient ID": "4", "Extra": "?"}
    (tmp_path / "mine.csv").write_text(
        ",".join(header) + "\n" + ",".join(cells.get(name, "") for name in header) + "\n"
    )
    table = read_labels(tmp_path)
    assert (table["image"][0], table["patient"][0]) == ("a.png", "4")
    assert flagged(table) == [{"Hernia"}]


def test_blank_labels_leave_every_finding_false_and_are_counted_in_the_log(
    tmp_path, row, write_csv, caplog
):
    write_csv(tmp_path, [row("a.png", ""), row("b.png", "Mass"), row("c.png", "  ")])
    with caplog.at_level(logging.WARNING):
        table = read_labels(tmp_path)
    assert flagged(table) == [set(), {"Mass"}, set()]
    assert "2 images carry no label" in caplog.text


@pytest.mark.parametrize("text", ["x", "1.5", "1e99", "inf", ""])
def test_a_follow_up_that_is_no_whole_number_is_missing(tmp_path, row, write_csv, text):
    write_csv(tmp_path, [row(follow_up=text), row("b.png", follow_up="7")])
    assert read_labels(tmp_path)["follow_up"].fillna(-1).tolist() == [-1, 7]


def test_findings_text_joins_in_the_order_of_the_alphabet_with_no_finding_alone(
    tmp_path, row, write_csv
):
    texts = ["Pneumothorax|Atelectasis", "No Finding", "", "Mass"]
    write_csv(tmp_path, [row(f"{number}.png", text) for number, text in enumerate(texts)])
    assert findings_text(read_labels(tmp_path)).tolist() == [
        "Atelectasis|Pneumothorax",
        "No Finding",
        "",
        "Mass",
    ]


# -- which file is read --------------------------------------------------------------------------


def test_the_corrected_file_wins_over_the_file_of_2017_and_over_others(tmp_path, row, write_csv):
    write_csv(tmp_path, [row("other.png")], name="other.csv")
    write_csv(tmp_path, [row("old.png")], name="Data_Entry_2017.csv")
    assert find_label_file(tmp_path).name == "Data_Entry_2017.csv"
    (tmp_path / "Data_Entry_2017_v2020.csv.gz").write_bytes(
        gzip.compress(write_csv(tmp_path / "elsewhere", [row("new.png")]).read_bytes())
    )
    assert read_labels(tmp_path)["image"].tolist() == ["new.png"]


def test_a_label_file_can_be_named_itself(tmp_path, row, write_csv):
    write_csv(tmp_path, [row("first.png")], name="first.csv")
    second = write_csv(tmp_path, [row("second.png")], name="second.csv")
    assert read_labels(second)["image"].tolist() == ["second.png"]


def test_the_home_directory_may_be_abbreviated(tmp_path, row, write_csv, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_csv(tmp_path / "cxr", [row("a.png")])
    assert read_labels("~/cxr")["image"].tolist() == ["a.png"]


def test_an_absent_folder_is_named(tmp_path):
    message = single_line_error(find_label_file, tmp_path / "nowhere")
    assert f"raw_dir '{tmp_path / 'nowhere'}' does not exist" in message


def test_a_folder_without_csv_is_named(tmp_path):
    message = single_line_error(find_label_file, tmp_path)
    assert f"raw_dir '{tmp_path}' holds no CSV" in message


def test_several_other_csvs_are_all_named(tmp_path, row, write_csv):
    for name in ("b.csv", "a.csv"):
        write_csv(tmp_path, [row()], name=name)
    (tmp_path / "c.csv.gz").write_bytes(b"")
    assert "holds a.csv, b.csv, c.csv.gz:" in single_line_error(find_label_file, tmp_path)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("column", NEEDED)
def test_a_missing_column_is_named(tmp_path, row, write_csv, column):
    path = write_csv(tmp_path, [row()])
    path.write_text(path.read_text().replace(column, "Renamed", 1))
    message = single_line_error(read_labels, tmp_path)
    assert f"'{path}' lacks the column(s) {column}:" in message


def test_all_missing_columns_are_named_together(tmp_path):
    (tmp_path / "x.csv").write_text("Image Index,Patient ID\na.png,1\n")
    message = single_line_error(read_labels, tmp_path)
    missing = ", ".join(name for name in NEEDED if name not in {"Image Index", "Patient ID"})
    assert f"lacks the column(s) {missing}:" in message


def test_an_unknown_finding_is_named_with_its_line(tmp_path, row, write_csv):
    path = write_csv(tmp_path, [row(), row("b.png", "Mass|Gout"), row("c.png", "Gout")])
    message = single_line_error(read_labels, tmp_path)
    assert f"'{path}' line 3: unknown finding 'Gout'" in message
    assert "Pleural_Thickening" in message


def test_an_unknown_finding_with_a_line_break_in_it_stays_on_one_line(tmp_path, row, write_csv):
    write_csv(tmp_path, [row(findings='"Go\nut"')])
    assert r"'Go\nut'" in single_line_error(read_labels, tmp_path)


def test_no_finding_beside_a_finding_is_named_with_its_line(tmp_path, row, write_csv):
    write_csv(tmp_path, [row(), row("b.png"), row("c.png", "Mass|No Finding")])
    message = single_line_error(read_labels, tmp_path)
    assert "line 4: 'Mass|No Finding' has 'No Finding' beside a finding" in message


def test_an_image_listed_twice_is_named(tmp_path, row, write_csv):
    write_csv(tmp_path, [row("a.png"), row("b.png"), row("b.png", "Mass"), row("b.png")])
    message = single_line_error(read_labels, tmp_path)
    assert "lists image 'b.png' more than once (2 such rows)" in message


@pytest.mark.parametrize("column", ["image", "patient"])
def test_a_blank_image_or_patient_is_named_with_its_line(tmp_path, row, write_csv, column):
    rows = [row(), row(**{"image": "b.png", column: ""}), row(**{"image": "c.png", column: ""})]
    write_csv(tmp_path, rows)
    message = single_line_error(read_labels, tmp_path)
    assert f"line 3: no {column} (and 1 more such lines)" in message


def test_a_header_without_rows_is_refused(tmp_path, write_csv):
    path = write_csv(tmp_path, [])
    assert f"'{path}' lists no image" in single_line_error(read_labels, tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "No columns to parse"),
        (b"\xff\xfe\x00\x01", "codec"),
        (b'a,b\n1,"2\n', "EOF inside string"),
        (b"a,b\n1,2\n1,2,3,4\n", "Expected 2 fields in line 3, saw 4"),
    ],
)
def test_what_is_no_csv_is_named_with_the_reason(tmp_path, content, reason):
    (tmp_path / "labels.csv").write_bytes(content)
    message = single_line_error(read_labels, tmp_path)
    assert f"'{tmp_path / 'labels.csv'}' is no readable CSV" in message
    assert reason in message


@settings(deadline=None, derandomize=True, max_examples=40)
@given(data=st.data())
def test_a_damaged_gz_is_refused_or_gives_the_very_labels(row, data):
    rows = [row(f"{number:08d}_000.png", patient=str(number)) for number in range(40)]
    text = ",".join(NEEDED) + ",a,b,c,d\n" + "\n".join(rows) + "\n"
    packed = gzip.compress(text.encode(), mtime=0)
    if data.draw(st.booleans(), label="cut"):
        damaged = packed[: data.draw(st.integers(0, len(packed) - 1), label="length")]
    else:
        place = data.draw(st.integers(0, len(packed) - 1), label="place")
        flipped = packed[place] ^ data.draw(st.integers(1, 255), label="bits")
        damaged = packed[:place] + bytes([flipped]) + packed[place + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Data_Entry_2017_v2020.csv.gz"
        path.write_bytes(damaged)
        try:
            table = read_labels(folder)
        except ValueError:
            assert str(path) in single_line_error(read_labels, folder)
        else:
            assert table["image"].tolist() == [line.split(",")[0] for line in rows]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sex": "X"}, "row 1: sex='X' fails isin(['M', 'F'])"),
        ({"view": "LL"}, "row 1: view='LL' fails isin(['PA', 'AP'])"),
        ({"follow_up": "-1"}, "row 1: follow_up=-1 fails"),
    ],
)
def test_a_cell_out_of_range_is_named_with_its_row(tmp_path, row, write_csv, change, expected):
    write_csv(tmp_path, [row(), row(**{"image": "b.png"} | change)])
    table = read_labels(tmp_path).assign(split="train")
    message = single_line_error(check_labels, table)
    assert message.startswith("label table: 1 violations:")
    assert expected in message


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda table: table.assign(split="holdout"), "split='holdout' fails isin"),
        (lambda table: table.drop(columns="split"), "'split' fails column_in_dataframe"),
        (lambda table: table.assign(extra=1), "'extra' fails column_in_schema"),
        (lambda table: table.assign(Mass=1), "Mass='int64' fails dtype('bool')"),
        (lambda table: table.assign(age=300), "age=300 fails in_range(0, 120)"),
        (
            lambda table: table.assign(Mass=True),
            "row 0: image='a.png' fails 'No Finding' beside a finding",
        ),
    ],
)
def test_a_table_that_breaks_the_schema_is_refused_with_the_column(
    tmp_path, row, write_csv, break_it, expected
):
    write_csv(tmp_path, [row("a.png")])
    good = read_labels(tmp_path).assign(split="train")
    assert check_labels(good) is good
    assert expected in single_line_error(check_labels, break_it(good))


def test_rows_that_contradict_themselves_do_not_hide_other_violations(tmp_path, row, write_csv):
    write_csv(tmp_path, [row("a.png"), row("b.png")])
    broken = read_labels(tmp_path).assign(split="train", Mass=True, sex="X")
    message = single_line_error(check_labels, broken)
    assert message.startswith("label table: 4 violations:")
    assert "sex='X'" in message


# -- NIH's own files -----------------------------------------------------------------------------


def test_nihs_whole_file_has_the_images_patients_and_findings_of_the_paper(shared_data):
    table = read_labels(shared_data / "Data_Entry_2017_v2020.csv.gz")
    assert len(table) == 112_120
    assert table["patient"].nunique() == 30_805
    assert table["view"].value_counts().to_dict() == {"PA": 67_310, "AP": 44_810}
    counts = {finding: int(table[finding].sum()) for finding in PAPER_COUNTS}
    assert counts == PAPER_COUNTS | {NO_FINDING: 60_361}
    assert not (table[NO_FINDING] & table[list(FINDINGS)].any(axis=1)).any()
    assert (table[NO_FINDING] | table[list(FINDINGS)].any(axis=1)).all()


def test_a_thousand_real_rows_are_read_as_the_csv_module_reads_them(nih1000):
    table = read_labels(nih1000)
    with (nih1000 / "Data_Entry_2017_v2020.csv").open(newline="") as file:
        lines = list(csv.reader(file))[1:]
    assert table["image"].tolist() == [line[0] for line in lines]
    assert flagged(table) == [set(line[1].split("|")) for line in lines]
    assert table["patient"].tolist() == [line[3] for line in lines]
    assert table["age"].tolist() == [int(line[4]) for line in lines]
    assert table["sex"].tolist() == [line[5] for line in lines]
    assert len(table) == 1000
    assert table["patient"].nunique() == 264
