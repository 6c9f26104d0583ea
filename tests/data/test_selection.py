import json
from dataclasses import asdict

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.findings import CLASSES, FINDINGS, NO_FINDING
from cxr_pipeline.data.labels import findings_text, read_labels
from cxr_pipeline.data.selection import EVERYTHING, Selection, select, selection_from

TEXTS = st.one_of(
    st.sets(st.sampled_from(FINDINGS[:4]), max_size=3).map(lambda names: "|".join(sorted(names))),
    st.just(NO_FINDING),
)
AGES = st.one_of(st.none(), st.integers(0, 120))
ROWS = st.fixed_dictionaries(
    {
        "patient": st.integers(1, 6).map(str),
        "age": AGES,
        "sex": st.sampled_from(["M", "F", None]),
        "view": st.sampled_from(["PA", "AP", None]),
        "findings": TEXTS,
    }
)
SELECTIONS = st.builds(
    Selection,
    findings=st.lists(st.sampled_from([*FINDINGS[:5], NO_FINDING]), max_size=3).map(tuple),
    views=st.lists(st.sampled_from(["PA", "AP"]), max_size=2).map(tuple),
    sexes=st.lists(st.sampled_from(["M", "F"]), max_size=2).map(tuple),
    youngest=AGES,
    oldest=AGES,
    one_image_a_patient=st.booleans(),
)


def index_of(rows, labels=None):
    """An image store's index, of the types that a label table has."""
    columns = ["patient", "age", "sex", "view", "findings"]
    types = dict.fromkeys(columns, "str") | {"age": "Int64"}
    return pd.DataFrame(rows, index=labels, columns=columns).astype(types)


def meets(row, asked):
    """By hand, row by row."""
    if asked.findings and not {*asked.findings} & {*row["findings"].split("|")}:
        return False
    if asked.views and row["view"] not in asked.views:
        return False
    if asked.sexes and row["sex"] not in asked.sexes:
        return False
    if asked.youngest is not None and (row["age"] is None or row["age"] < asked.youngest):
        return False
    return asked.oldest is None or (row["age"] is not None and row["age"] <= asked.oldest)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(rows=st.lists(ROWS, max_size=15), asked=SELECTIONS, data=st.data())
def test_a_selection_takes_the_rows_that_meet_all_it_asks(rows, asked, data):
    labels = data.draw(st.permutations(range(len(rows))))
    expected, patients = [], set()
    for row in rows:
        taken = meets(row, asked)
        if taken and asked.one_image_a_patient:
            taken = row["patient"] not in patients
            patients.add(row["patient"])
        expected.append(taken)
    chosen = select(index_of(rows, labels), asked)
    assert chosen.tolist() == expected
    assert chosen.index.tolist() == list(labels)
    assert chosen.dtype == bool


@settings(deadline=None, derandomize=True, max_examples=50)
@given(rows=st.lists(ROWS, max_size=10))
def test_everything_takes_everything(rows):
    assert select(index_of(rows), EVERYTHING).all()
    assert str(EVERYTHING) == ""


@settings(deadline=None, derandomize=True)
@given(asked=SELECTIONS)
def test_a_selection_comes_back_from_json(asked):
    assert selection_from(json.loads(json.dumps(asdict(asked)))) == asked


@settings(deadline=None, derandomize=True)
@given(asked=SELECTIONS)
def test_only_the_selection_of_everything_has_nothing_to_say(asked):
    assert (str(asked) == "") == (asked == EVERYTHING)


def test_a_selection_says_what_it_asks():
    asked = Selection(findings=("Mass", "Nodule"), youngest=0, oldest=18, one_image_a_patient=True)
    assert str(asked) == "findings=Mass|Nodule, youngest=0, oldest=18, one_image_a_patient=True"


def test_a_finding_is_not_found_within_the_name_of_another():
    rows = [{"patient": "1", "findings": text} for text in ("Subcutaneous Emphysema", "Emphysema")]
    chosen = select(index_of(rows), Selection(findings=("Emphysema",)))
    assert chosen.tolist() == [False, True]


def test_images_without_any_label_are_taken_only_where_no_finding_is_asked_for():
    index = index_of([{"patient": "1", "findings": ""}])
    assert select(index, EVERYTHING).all()
    assert not select(index, Selection(findings=CLASSES)).any()


@pytest.mark.parametrize(
    "asked",
    [
        Selection(findings=("Mass", "Nodule")),
        Selection(findings=(NO_FINDING,), views=("PA",), sexes=("F",)),
        Selection(youngest=18, oldest=40, one_image_a_patient=True),
    ],
)
def test_a_selection_of_real_images_is_the_one_made_row_by_row(nih1000, asked):
    table = read_labels(nih1000)
    index = table.assign(findings=findings_text(table))
    rows = index.astype(object).to_dict("records")
    by_hand = [row for row in rows if meets(row, asked)]
    if asked.one_image_a_patient:
        by_hand = list({row["patient"]: row for row in reversed(by_hand)}.values())
    chosen = index.loc[select(index, asked), "image"]
    assert set(chosen) == {row["image"] for row in by_hand}
    assert 0 < len(chosen) < len(index)
