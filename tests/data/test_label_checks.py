import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.label_checks import (
    SHOWN,
    VIOLATION_COLUMNS,
    check_label_rows,
    describe_violations,
    find_violations,
)
from cxr_pipeline.data.label_files import read_label_rows

GOOD = {
    "findings": ["No Finding", "Mass", "Mass|Hernia", "", "pleural thickening", "Mass|Mass"],
    "follow_up": ["0", "183", "1.0", "2.", ""],
    "patient": ["1", "00000013", "13.0", "p-7", "Ångström"],
    "age": ["0", "58", "058Y", "411", "011M", "023D", "58.0", "58.5", ""],
    "sex": ["M", "F", ""],
    "view": ["PA", "AP", ""],
}
BAD = {
    "findings": {
        "Gout": "holds an unknown finding",
        "Mass|Gout": "holds an unknown finding",
        "None": "holds an unknown finding",
        "Mass|No Finding": "has 'No Finding' beside a finding",
    },
    "follow_up": dict.fromkeys(("x", "-1", "1.5", "1e3", "²"), "is no whole number from 0"),
    "patient": {"": "is missing", '"1\n2"': "holds a line break or the like"},
    "age": dict.fromkeys(
        ("old", "-3", "58y", "Y58", "1e1", "nan", "٣٣", "9999999999"),
        "is no age such as 58, 058Y, 011M or 023D",
    ),
    "sex": dict.fromkeys(("X", "m", "male"), "is not M or F"),
    "view": dict.fromkeys(("LL", "pa", "PA|AP"), "is not PA or AP"),
}
NAMES = ["../a.png", "a/b.png", "a\\b.png", "/a.png", ".png", "..", "a\x00.png", '"a\nb.png"']


def places_of(violations):
    return list(violations[["line", "column", "problem"]].itertuples(index=False, name=None))


@settings(deadline=None, derandomize=True, max_examples=40)
@given(data=st.data())
def test_every_violation_is_listed_with_its_line_and_nothing_else_is(
    tmp_path_factory, row, write_csv, data
):
    lines, expected = [], []
    for number in range(data.draw(st.integers(1, 12), label="rows")):
        cells = {column: data.draw(st.sampled_from(texts)) for column, texts in GOOD.items()}
        spoilt = data.draw(st.sets(st.sampled_from(sorted(BAD)), max_size=3), label="spoilt")
        for column in sorted(spoilt):
            cells[column] = data.draw(st.sampled_from(sorted(BAD[column])))
        lines.extend([""] * data.draw(st.integers(0, 2), label="blank lines before"))
        place = 2 + sum(line.count("\n") + 1 for line in lines)
        expected += [(place, column, BAD[column][cells[column]]) for column in spoilt]
        lines.append(row(image=f"{number}.png", **cells))
    folder = tmp_path_factory.mktemp("rows")
    write_csv(folder, lines)
    rows = read_label_rows(folder)
    violations = find_violations(rows)
    assert sorted(places_of(violations)) == sorted(expected)
    assert violations["line"].is_monotonic_increasing
    assert set(violations["file"]) <= {"Data_Entry_2017_v2020.csv"}
    if not expected:
        assert check_label_rows(rows) is rows


@pytest.mark.parametrize(("column", "text"), [(name, text) for name in BAD for text in BAD[name]])
def test_a_bad_cell_is_named_with_file_line_column_and_value(
    tmp_path, row, write_csv, one_line_error, column, text
):
    write_csv(tmp_path, [row("a.png"), row(**{"image": "b.png", column: text})])
    value = repr(text.strip('"')) + " " if text else ""
    assert one_line_error(check_label_rows, read_label_rows(tmp_path)) == (
        "1 violation in the labels: Data_Entry_2017_v2020.csv line 3: "
        f"{column} {value}{BAD[column][text]}: correct the CSV"
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_image_that_is_no_file_name_is_refused(tmp_path, row, write_csv, name):
    write_csv(tmp_path, [row(name)])
    violations = find_violations(read_label_rows(tmp_path))
    assert places_of(violations) == [(2, "image", "is no file name")]
    assert violations["value"].tolist() == [name.strip('"')]


@pytest.mark.parametrize("name", ["a b.png", "ä.png", '"a,b.png"', "a..png", "1", "NA"])
def test_other_names_of_images_are_taken(tmp_path, row, write_csv, name):
    write_csv(tmp_path, [row(name)])
    assert find_violations(read_label_rows(tmp_path)).empty


def test_every_row_of_an_image_listed_twice_is_named(tmp_path, row, write_csv):
    write_csv(tmp_path, [row("a.png"), row("b.png"), row(" b.png", "Mass"), row('"b.png"')])
    problem = "is listed more than once"
    assert places_of(find_violations(read_label_rows(tmp_path))) == [
        (3, "image", problem),
        (4, "image", problem),
        (5, "image", problem),
    ]


def test_images_without_a_name_are_missing_and_not_twice_the_same(tmp_path, row, write_csv):
    write_csv(tmp_path, [row(""), row(" ")])
    violations = find_violations(read_label_rows(tmp_path))
    assert places_of(violations) == [(2, "image", "is missing"), (3, "image", "is missing")]


def test_rows_of_another_shape_are_named_beside_other_violations(tmp_path, row, write_csv):
    write_csv(tmp_path, [row("a.png", findings="Mass,Nodule"), row("b.png", "Gout"), "c.png,Mass"])
    misfit = "do not match the header's"
    assert places_of(find_violations(read_label_rows(tmp_path))) == [
        (2, "cells", misfit),
        (2, "follow_up", "is no whole number from 0"),
        (2, "sex", "is not M or F"),
        (2, "view", "is not PA or AP"),
        (3, "findings", "holds an unknown finding"),
        (4, "cells", misfit),
        (4, "patient", "is missing"),
    ]


def test_cells_of_cxr_lt_that_are_not_0_or_1_are_listed_over_all_files(tmp_path, write_lt):
    header = "id,Mass,Hernia,No Finding,subj_id"
    write_lt(tmp_path, "train", ["a.png,2,0,0,1", "b.png,1.0,0,0,2", "c.png,0,0,,3"], header)
    write_lt(tmp_path, "test", ["", "d.png,1,0,1,4", "a.png,0,1,0,1"], header)
    violations = find_violations(read_label_rows(tmp_path))
    neither = "comes from a cell that is not 0 or 1"
    assert violations.drop(columns="column").to_numpy().tolist() == [
        ["nih-cxr-lt_test.csv", 3, "Mass|No Finding", "has 'No Finding' beside a finding"],
        ["nih-cxr-lt_test.csv", 4, "a.png", "is listed more than once"],
        ["nih-cxr-lt_train.csv", 2, "a.png", "is listed more than once"],
        ["nih-cxr-lt_train.csv", 2, "Mass=2", neither],
        ["nih-cxr-lt_train.csv", 4, "No Finding=", neither],
    ]


def test_violations_of_nihs_file_beside_cxr_lts_stand_in_its_own_lines(
    tmp_path, row, write_csv, lt_row, write_lt
):
    write_lt(tmp_path, "test", [lt_row("a.png", patient="")])
    write_csv(tmp_path, [row("b.png"), row("a.png", age="old")])
    violations = find_violations(read_label_rows(tmp_path, "cxr_lt"))
    assert violations[["file", "line", "column"]].to_numpy().tolist() == [
        ["Data_Entry_2017_v2020.csv", 3, "age"],
        ["nih-cxr-lt_test.csv", 2, "patient"],
    ]


def test_good_rows_have_no_violations_in_the_same_columns(tmp_path, row, write_csv):
    write_csv(tmp_path, [row()])
    violations = find_violations(read_label_rows(tmp_path))
    assert violations.empty
    assert list(violations.columns) == VIOLATION_COLUMNS


@pytest.mark.parametrize("count", [1, SHOWN, SHOWN + 1, 40])
def test_the_message_counts_all_violations_and_shows_the_first(tmp_path, row, write_csv, count):
    write_csv(tmp_path, [row(f"{number}.png", sex="X") for number in range(count)])
    violations = find_violations(read_label_rows(tmp_path))
    assert list(violations.columns) == VIOLATION_COLUMNS
    message = describe_violations(violations)
    shown = min(count, SHOWN)
    assert message.startswith(f"{count} violation{'' if count == 1 else 's'} in the labels: ")
    for line in range(2, 2 + shown):
        assert f"v2020.csv line {line}: sex 'X' is not M or F" in message
    assert f"line {2 + shown}:" not in message
    assert (f"; and {count - SHOWN} more: " in message) == (count > SHOWN)


def test_real_rows_have_no_violations(shared_data, nih1000):
    for folder in (nih1000, shared_data / "cxr_lt", shared_data / "Data_Entry_2017_v2020.csv.gz"):
        assert find_violations(read_label_rows(folder)).empty
