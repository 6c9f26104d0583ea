from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.conditions import (
    asked_findings,
    balanced_labels,
    conditions,
    flat_labels,
    label_balance,
    multi_hot,
)
from cxr_pipeline.data.findings import CLASSES, CXR_LT_FINDINGS, FINDINGS, NO_FINDING

NIH = conditions([*FINDINGS, NO_FINDING])
CXR_LT = conditions(CLASSES)

entries_of_either = st.sampled_from([NIH, CXR_LT])


# -- the label vector ----------------------------------------------------------------------------


def test_nihs_labels_have_14_entries_and_cxr_lts_20():
    assert NIH == FINDINGS
    assert (*FINDINGS, *CXR_LT_FINDINGS, NO_FINDING) == CXR_LT
    assert (len(NIH), len(CXR_LT)) == (14, 20)


def test_entries_come_in_our_order_whatever_the_classes():
    assert conditions(reversed(CLASSES)) == CXR_LT
    assert conditions([*FINDINGS, "Tortuous Aorta", NO_FINDING]) == CXR_LT
    assert conditions([NO_FINDING, "Mass", "Edema"]) == ("Edema", "Mass")


def test_no_finding_is_all_zeros_with_nihs_labels_and_an_entry_with_cxr_lts():
    assert multi_hot([NO_FINDING], NIH).tolist() == [[0.0] * 14]
    assert multi_hot([NO_FINDING], CXR_LT).tolist() == [[0.0] * 19 + [1.0]]


def test_each_label_sets_its_findings_and_no_other():
    vectors = multi_hot(["Mass|Atelectasis", "Pneumothorax"], NIH)
    assert (vectors.shape, vectors.dtype) == ((2, 14), torch.float32)
    assert [row.nonzero().flatten().tolist() for row in vectors] == [[0, 9], [13]]


def test_a_model_that_is_not_conditional_gets_empty_vectors_whatever_the_labels():
    assert multi_hot(["Mass", "", NO_FINDING], ()).shape == (3, 0)


def test_a_blank_label_is_refused_for_it_says_nothing(one_line_error):
    message = one_line_error(multi_hot, ["Mass", ""], NIH)
    assert message.startswith("a conditional model, or classifier, needs labelled images")
    assert message.endswith("or set the model's conditional=false")


# -- what is asked -------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=100)
@given(entries=entries_of_either, data=st.data())
def test_what_is_asked_is_what_the_model_is_told(entries, data):
    findings = [name for name in entries if name != NO_FINDING]
    subset = data.draw(st.lists(st.sampled_from(findings), min_size=1, unique=True))
    (vector,) = multi_hot([asked_findings(subset, entries)], entries)
    assert {name for name, value in zip(entries, vector, strict=True) if value} == set(subset)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    names=st.lists(st.sampled_from(FINDINGS), min_size=1),
    spell=st.sampled_from([str.upper, str.lower, lambda name: f" {name.replace('_', ' ')} "]),
)
def test_spelling_order_and_repetition_do_not_matter(names, spell):
    label = asked_findings([spell(name) for name in names], NIH)
    assert label == "|".join(name for name in FINDINGS if name in names)


@pytest.mark.parametrize("entries", [NIH, CXR_LT])
def test_no_finding_can_be_asked_for_alone(entries):
    assert asked_findings(["no finding"], entries) == NO_FINDING


@pytest.mark.parametrize(
    ("findings", "entries", "message"),
    [
        (["Mass", "Gout"], NIH, "unknown finding 'Gout': the model knows Atelectasis, "),
        (["Tortuous Aorta"], NIH, "unknown finding 'Tortuous Aorta': the model knows "),
        ([""], NIH, "unknown finding '': the model knows "),
        ([NO_FINDING, "Mass"], NIH, "No Finding goes with no other finding: "),
        ([NO_FINDING, "Mass"], CXR_LT, "No Finding goes with no other finding: "),
        (["Mass", "Edema"], (), "findings=Mass|Edema cannot be asked of a model that was trained"),
    ],
)
def test_what_the_model_cannot_be_asked_is_refused(findings, entries, message, one_line_error):
    assert one_line_error(asked_findings, findings, entries).startswith(message)


# -- how often -----------------------------------------------------------------------------------


def test_the_balance_counts_labels_most_frequent_first():
    balance = label_balance(["Mass", NO_FINDING, "Mass|Edema", NO_FINDING, "Mass", NO_FINDING])
    assert list(balance.items()) == [(NO_FINDING, 3), ("Mass", 2), ("Mass|Edema", 1)]


def test_balanced_labels_come_about_as_often_as_in_training():
    balance = {NO_FINDING: 600, "Mass": 300, "Mass|Edema": 100}
    drawn = Counter(
        label for number in range(100) for label in balanced_labels(balance, 64, 0, number)
    )
    total = sum(drawn.values())
    assert total == 6400
    for label, images in balance.items():
        # Three standard deviations of the most frequent: 0.018.
        assert drawn[label] / total == pytest.approx(images / 1000, abs=0.02)


def test_balanced_labels_follow_from_seed_and_number():
    balance = {"Mass": 1, "Edema": 1}
    assert balanced_labels(balance, 64, 0, 1) == balanced_labels(balance, 64, 0, 1)
    assert balanced_labels(balance, 64, 0, 1) != balanced_labels(balance, 64, 0, 2)
    assert balanced_labels(balance, 64, 0, 1) != balanced_labels(balance, 64, 1, 1)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(entries=entries_of_either, turns=st.integers(1, 5), first=st.integers(0, 100))
def test_flat_labels_give_every_class_its_turn_equally_often(entries, turns, first):
    classes = {*entries, NO_FINDING}
    counts = Counter(flat_labels(entries, first, turns * len(classes)))
    assert counts == dict.fromkeys(classes, turns)


def test_flat_labels_go_on_from_where_they_were():
    assert flat_labels(NIH, 0, 20) == flat_labels(NIH, 0, 7) + flat_labels(NIH, 7, 13)
