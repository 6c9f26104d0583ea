import csv
import gzip
import logging
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.conftest import HEADER

from cxr_pipeline.data.findings import CLASSES, FINDINGS, NO_FINDING, PAPER_COUNTS, classes_among
from cxr_pipeline.data.labels import check_labels, findings_text, read_labels
from cxr_pipeline.data.splits import split_by_patient

AGES = st.one_of(
    st.integers(0, 120).map(lambda years: (str(years), years)),
    st.integers(0, 120).map(lambda years: (f"{years:03d}Y", years)),
    st.integers(0, 120).map(lambda years: (f"{years}.0", years)),
    st.integers(0, 999).map(lambda months: (f"{months:03d}M", months // 12)),
    st.integers(0, 999).map(lambda days: (f"{days:03d}D", days // 365)),
    st.integers(121, 999).map(lambda years: (str(years), None)),
    st.just(("", None)),
)
SETS_OF_NIH = st.one_of(
    st.sets(st.sampled_from(FINDINGS), max_size=4), st.just({NO_FINDING}), st.just(set())
)
SETS_OF_CXR_LT = st.one_of(
    st.sets(st.sampled_from([*CLASSES[:-1]]), max_size=4), st.just({NO_FINDING}), st.just(set())
)


@st.composite
def nih_tables(draw):
    """Rows as NIH's file holds them, each with what they mean."""
    rows = []
    for number in range(draw(st.integers(1, 12))):
        text, years = draw(AGES)
        rows.append(
            {
                "image": f"{number:08d}_000.png",
                "findings": draw(SETS_OF_NIH),
                "follow_up": draw(st.integers(0, 183)),
                "patient": str(draw(st.integers(1, 5))),
                "age_text": text,
                "age": years,
                "sex": draw(st.sampled_from(["M", "F", ""])),
                "view": draw(st.sampled_from(["PA", "AP", ""])),
            }
        )
    return rows


def flagged(table):
    """Each row's set of classes."""
    names = classes_among(table.columns)
    return [{name for name in names if flags[name]} for flags in table[names].to_dict("records")]


def split_table(folder):
    table = read_labels(folder)
    splits = split_by_patient(table["patient"], validation=0.1, test=0.1, seed=0)
    return table.assign(split=splits)


# -- the table -----------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=60)
@given(rows=nih_tables(), trailing=st.booleans(), compressed=st.booleans())
def test_any_valid_file_of_nihs_is_read_as_it_is_written(row, rows, trailing, compressed):
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
    text = "".join(f"{line}{',' if trailing else ''}\n" for line in [HEADER, *lines])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("Data_Entry_2017.csv.gz" if compressed else "Data_Entry_2017.csv")
        path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
        table = split_table(folder)

    for column in ("image", "follow_up", "patient"):
        assert table[column].tolist() == [entry[column] for entry in rows]
    assert [None if pd.isna(age) else age for age in table["age"]] == [e["age"] for e in rows]
    for column in ("sex", "view"):
        assert table[column].fillna("").tolist() == [entry[column] for entry in rows]
    assert flagged(table) == [entry["findings"] for entry in rows]
    assert [set(text.split("|")) - {""} for text in findings_text(table)] == flagged(table)
    assert check_labels(table) is table


@settings(deadline=None, derandomize=True, max_examples=40)
@given(rows=st.lists(st.tuples(SETS_OF_CXR_LT, st.integers(1, 5)), min_size=1, max_size=8))
def test_any_valid_file_of_cxr_lts_is_read_as_it_is_written(
    tmp_path_factory, lt_row, write_lt, rows
):
    folder = tmp_path_factory.mktemp("lt")
    named = [
        lt_row(f"{number}.png", "|".join(findings), f"{patient:08d}")
        for number, (findings, patient) in enumerate(rows)
    ]
    write_lt(folder, "val", named)
    table = read_labels(folder)
    assert flagged(table) == [findings for findings, _ in rows]
    assert table["patient"].tolist() == [str(patient) for _, patient in rows]
    assert set(table["split"]) == {"validation"}
    assert table[["follow_up", "age", "sex", "view"]].isna().all(axis=None)
    assert check_labels(table) is table


@settings(deadline=None, derandomize=True, max_examples=30)
@given(findings=st.lists(SETS_OF_NIH, min_size=1, max_size=6))
def test_nih_and_cxr_lt_that_say_the_same_make_the_same_table(
    tmp_path_factory, row, write_csv, lt_row, write_lt, findings
):
    texts = ["|".join(names) for names in findings]
    nih, both = tmp_path_factory.mktemp("nih"), tmp_path_factory.mktemp("both")
    lines = [row(f"{n}.png", text, patient=str(n)) for n, text in enumerate(texts)]
    for folder in (nih, both):
        write_csv(folder, lines)
    lines = [lt_row(f"{n}.png", text, patient=f"{n:08d}") for n, text in enumerate(texts)]
    write_lt(both, "train", lines)
    ours, theirs = read_labels(nih), read_labels(both, "cxr_lt")
    pd.testing.assert_frame_equal(theirs[list(ours.columns)], ours)


def test_the_file_of_2017_with_its_trailing_column_and_odd_ages(tmp_path, row, write_csv, caplog):
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


@pytest.mark.parametrize(
    ("text", "years"),
    [("364D", 0), ("365D", 1), ("011M", 0), ("012M", 1), ("58.9", 58), ("120", 120), ("121", -1)],
)
def test_an_age_is_in_whole_years_past(tmp_path, row, write_csv, text, years):
    write_csv(tmp_path, [row(age=text)])
    assert read_labels(tmp_path)["age"].fillna(-1).tolist() == [years]


def test_possible_ages_are_not_warned_of(tmp_path, row, write_csv, caplog):
    write_csv(tmp_path, [row(age="120"), row("b.png", age="")])
    with caplog.at_level(logging.WARNING):
        table = read_labels(tmp_path)
    assert table["age"].fillna(-1).tolist() == [120, -1]
    assert caplog.text == ""


def test_floats_that_pandas_wrote_are_the_whole_numbers_they_were(tmp_path, row, write_csv):
    write_csv(tmp_path, [row(age="58.0", follow_up="3.0", patient="13.0")])
    only = read_labels(tmp_path).iloc[0]
    assert (only["age"], only["follow_up"], only["patient"]) == (58, 3, "13")


@pytest.mark.parametrize(
    ("text", "patient"),
    [
        ("13", "13"),
        ("00000013", "13"),
        ("013.0", "13"),
        ("100", "100"),
        ("0", "0"),
        ("000", "0"),
        ("1.5", "1.5"),
        ("p007", "p007"),
        ("007p", "007p"),
    ],
)
def test_a_patient_has_one_spelling(tmp_path, row, write_csv, text, patient):
    write_csv(tmp_path, [row(patient=text)])
    assert read_labels(tmp_path)["patient"].tolist() == [patient]


def test_blank_labels_leave_every_class_false_and_are_counted_in_the_log(
    tmp_path, row, write_csv, caplog
):
    write_csv(tmp_path, [row("a.png", ""), row("b.png", "Mass"), row("c.png", "  ")])
    with caplog.at_level(logging.WARNING):
        table = read_labels(tmp_path)
    assert flagged(table) == [set(), {"Mass"}, set()]
    assert "2 of 3 images carry no label" in caplog.text


def test_a_violation_stops_the_reading_with_its_line(tmp_path, row, write_csv, one_line_error):
    write_csv(tmp_path, [row(), row("b.png", "Gout")])
    assert "line 3: findings 'Gout'" in one_line_error(read_labels, tmp_path)


def test_cxr_lt_takes_age_sex_view_and_follow_up_from_nihs_file_by_image(
    tmp_path, row, write_csv, lt_row, write_lt, caplog
):
    nih = [row("c.png", "Mass", "9", "3", "30", "M", "PA"), row("a.png", "", "4", "1", view="AP")]
    write_csv(tmp_path, nih)
    write_lt(tmp_path, "train", [lt_row(f"{name}.png", patient=name) for name in "abc"])
    with caplog.at_level(logging.WARNING):
        table = read_labels(tmp_path, "cxr_lt")
    assert table["image"].tolist() == ["a.png", "b.png", "c.png"]
    assert table["follow_up"].fillna(-1).tolist() == [4, -1, 9]
    assert table["age"].fillna(-1).tolist() == [58, -1, 30]
    assert table["sex"].fillna("").tolist() == ["M", "", "M"]
    assert table["view"].fillna("").tolist() == ["AP", "", "PA"]
    assert flagged(table) == [{NO_FINDING}] * 3
    assert table["patient"].tolist() == ["a", "b", "c"]
    assert "1 of 3 images (the first: 'b.png') are not in 'Data_Entry_2017_v2020" in caplog.text


def test_findings_text_joins_in_the_order_of_the_classes_with_no_finding_alone(
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


CELLS = st.one_of(
    st.sampled_from(["", "0", "1", "1.0", "2", "M", "PA", "58", "058Y", "Mass", "No Finding", "٣"]),
    st.text(st.sampled_from('aM1.,|"\n\r\x00\x1f =é\u2028/\\'), max_size=5),
)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    nih=st.booleans(),
    spoilt=st.lists(st.dictionaries(st.integers(0, 6), CELLS, max_size=2), max_size=3),
)
def test_any_text_in_a_file_makes_a_valid_table_or_one_line_of_error(
    tmp_path_factory, row, write_csv, one_line_error, nih, spoilt
):
    lines = []
    for number, texts in enumerate(spoilt):
        good = row(f"{number}.png") if nih else f"{number}.png,0,1,0,7"
        lines.append(",".join(texts.get(n, cell) for n, cell in enumerate(good.split(","))))
    header = HEADER if nih else "id,Mass,Hernia,No Finding,subj_id"
    path = write_csv(tmp_path_factory.mktemp("any"), lines, header=header)
    try:
        table = split_table(path)
    except ValueError:
        assert path.name in one_line_error(read_labels, path)
    else:
        assert len(table) <= len(lines)
        assert check_labels(table) is table


# -- the schema ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda table: table.assign(split="holdout"), "row 0: split='holdout' fails isin"),
        (lambda table: table.assign(sex="X"), "row 0: sex='X' fails isin(['M', 'F'])"),
        (lambda table: table.assign(view="LL"), "row 0: view='LL' fails isin(['PA', 'AP'])"),
        (lambda table: table.assign(image=""), "row 0: image='' fails str_length"),
        (lambda table: table.assign(follow_up=-1), "follow_up=-1 fails"),
        (lambda table: table.assign(age=300), "age=300 fails in_range(0, 120)"),
        (lambda table: table.drop(columns="split"), "'split' fails column_in_dataframe"),
        (lambda table: table.drop(columns=NO_FINDING), "fails classes are missing"),
        (lambda table: table.drop(columns=list(FINDINGS)), "fails classes are missing"),
        (lambda table: table.assign(extra=1), "'extra' fails column_in_schema"),
        (lambda table: table.assign(Mass=1), "Mass='int64' fails dtype('bool')"),
        (lambda table: table.assign(sex="a\nb"), "row 0: sex='a\\nb' fails isin"),
        (lambda table: pd.concat([table, table], ignore_index=True), "fails field_uniqueness"),
        (
            lambda table: table.assign(Mass=True),
            "row 0: image='a.png' fails 'No Finding' beside a finding",
        ),
    ],
)
def test_a_table_that_breaks_the_schema_is_refused_with_the_column(
    tmp_path, row, write_csv, one_line_error, break_it, expected
):
    write_csv(tmp_path, [row("a.png")])
    good = split_table(tmp_path)
    assert check_labels(good) is good
    assert expected in one_line_error(check_labels, break_it(good))


def test_rows_that_contradict_themselves_do_not_hide_other_violations(
    tmp_path, row, write_csv, one_line_error
):
    write_csv(tmp_path, [row("a.png"), row("b.png")])
    message = one_line_error(check_labels, split_table(tmp_path).assign(Mass=True, sex="X"))
    assert message.startswith("label table: 4 violations:")
    assert "sex='X'" in message


def test_a_table_saved_as_parquet_comes_back_valid(tmp_path, lt_row, write_lt):
    write_lt(tmp_path, "train", [lt_row("a.png", "Mass"), lt_row("b.png", "")])
    table = read_labels(tmp_path)
    table.to_parquet(tmp_path / "labels.parquet")
    loaded = pd.read_parquet(tmp_path / "labels.parquet")
    assert check_labels(loaded) is loaded
    pd.testing.assert_frame_equal(loaded, table)


# -- real files ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(shared_data):
    return read_labels(shared_data / "Data_Entry_2017_v2020.csv.gz")


@pytest.fixture(scope="module")
def cxr_lt(shared_data):
    return read_labels(shared_data / "cxr_lt")


def test_nihs_whole_file_has_the_images_patients_and_findings_of_the_paper(whole):
    assert len(whole) == 112_120
    assert whole["patient"].nunique() == 30_805
    assert whole["view"].value_counts().to_dict() == {"PA": 67_310, "AP": 44_810}
    counts = {name: int(whole[name].sum()) for name in (*FINDINGS, NO_FINDING)}
    assert counts == {name: PAPER_COUNTS[name] for name in FINDINGS} | {NO_FINDING: 60_361}
    assert (whole[NO_FINDING] ^ whole[list(FINDINGS)].any(axis=1)).all()


def test_a_thousand_real_rows_are_read_as_the_csv_module_reads_them(nih1000):
    table = read_labels(nih1000)
    with (nih1000 / "Data_Entry_2017_v2020.csv").open(newline="") as file:
        lines = list(csv.reader(file))[1:]
    assert table["image"].tolist() == [line[0] for line in lines]
    assert flagged(table) == [set(line[1].split("|")) for line in lines]
    assert table["patient"].tolist() == [line[3] for line in lines]
    assert table["age"].tolist() == [int(line[4]) for line in lines]


@pytest.mark.parametrize(("split", "count"), [("validation", 12_533), ("test", 21_081)])
def test_real_labels_of_cxr_lt_count_as_plain_sums_of_their_columns(
    shared_data, cxr_lt, split, count
):
    ours = cxr_lt[cxr_lt["split"] == split]
    ending = {"validation": "val"}.get(split, split)
    plain = pd.read_csv(shared_data / "cxr_lt" / f"nih-cxr-lt_{ending}.csv.gz")
    assert len(ours) == len(plain) == count
    assert ours["image"].tolist() == plain["id"].tolist()
    by_hand = plain.drop(columns=["id", "subj_id"]).rename(
        columns={"Pleural Thickening": "Pleural_Thickening"}
    )
    assert set(by_hand) == set(CLASSES)
    assert np.array_equal(ours[list(CLASSES)], by_hand[list(CLASSES)] == 1)


def test_real_splits_of_cxr_lt_share_no_patient(cxr_lt):
    assert set(cxr_lt["split"]) == {"validation", "test"}
    assert cxr_lt.groupby("patient")["split"].nunique().max() == 1


def test_nih_and_cxr_lt_name_the_same_patient_and_findings_of_every_image(whole, cxr_lt):
    nih = whole.set_index("image").loc[cxr_lt["image"]]
    assert nih["patient"].tolist() == cxr_lt["patient"].tolist()
    assert np.array_equal(nih[list(FINDINGS)], cxr_lt[list(FINDINGS)])
    # What CXR-LT adds turns some `No Finding` into a finding, and nothing the other way.
    assert not (cxr_lt[NO_FINDING].to_numpy() & ~nih[NO_FINDING].to_numpy()).any()


def test_cxr_lt_with_nihs_real_file_beside_it_knows_every_view(shared_data, whole, tmp_path):
    for path in (*(shared_data / "cxr_lt").iterdir(), shared_data / "Data_Entry_2017_v2020.csv.gz"):
        (tmp_path / path.name).symlink_to(path)
    table = read_labels(tmp_path, "cxr_lt")
    nih = whole.set_index("image").loc[table["image"]].reset_index()
    columns = ["image", "patient", "follow_up", "age", "sex", "view"]
    pd.testing.assert_frame_equal(table[columns], nih[columns])
