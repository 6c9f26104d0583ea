import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.findings import (
    CLASSES,
    CXR_LT_FINDINGS,
    FINDINGS,
    NO_FINDING,
    PAPER_COUNTS,
    classes_among,
    finding_name,
)

CHANGES = [
    str.upper,
    str.lower,
    lambda name: name.replace("_", " "),
    lambda name: name.replace(" ", "_"),
]


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    name=st.sampled_from(CLASSES),
    changes=st.lists(st.sampled_from(CHANGES)),
    space=st.sampled_from(["", "  ", "\t"]),
)
def test_every_spelling_of_a_finding_is_one_name(name, changes, space):
    text = name
    for change in changes:
        text = change(text)
    assert finding_name(f"{space}{text}{space}") == name


@pytest.mark.parametrize("text", ["", " ", "Gout", "Mass|Nodule", "Pleural-Thickening", "Mas s"])
def test_what_is_no_finding_has_no_name(text):
    assert finding_name(text) is None


@settings(deadline=None, derandomize=True, max_examples=50)
@given(columns=st.lists(st.sampled_from([*CLASSES, "image", "split", "mass"]), unique=True))
def test_classes_among_columns_come_in_our_order_whatever_the_columns(columns):
    found = classes_among(columns)
    assert set(found) == set(columns) & set(CLASSES)
    assert found == [name for name in CLASSES if name in found]


def test_fourteen_findings_are_nihs_and_nineteen_are_cxr_lts():
    assert (len(FINDINGS), len(CXR_LT_FINDINGS)) == (14, 5)
    assert len(set(CLASSES)) == 20
    assert NO_FINDING in CLASSES


def test_the_paper_counts_all_twenty_classes_most_frequent_first():
    assert set(PAPER_COUNTS) == set(CLASSES)
    assert list(PAPER_COUNTS.values()) == sorted(PAPER_COUNTS.values(), reverse=True)
