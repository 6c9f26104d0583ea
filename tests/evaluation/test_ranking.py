import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr_pipeline.evaluation.ranking import auroc, average_precision

OURS = {"auroc": (auroc, roc_auc_score), "ap": (average_precision, average_precision_score)}


@st.composite
def cases(draw):
    """Scores of few levels, so that many are tied, with how often each image counts."""
    count = draw(st.integers(2, 25))

    def rows(values):
        return draw(st.lists(values, min_size=count, max_size=count))

    scores = np.array(rows(st.integers(-3, 3)), dtype=np.float64) / 3
    truths = np.array(rows(st.booleans()))
    weights = np.array([rows(st.integers(0, 3)) for _ in range(3)])
    return scores, truths, weights


@pytest.mark.parametrize("name", OURS)
@given(case=cases())
@hypothesis_settings(deadline=None, derandomize=True, max_examples=200)
def test_it_is_scikit_learn_s_with_ties_and_weights(name, case):
    ours, theirs = OURS[name]
    scores, truths, weights = case
    values = ours(scores, truths, weights)
    assert values.shape == (3,)
    for value, weight in zip(values, weights, strict=True):
        counted = weight > 0
        if len(np.unique(truths[counted])) < 2:
            assert np.isnan(value)
        else:
            expected = theirs(truths[counted], scores[counted], sample_weight=weight[counted])
            assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", OURS)
def test_float32_scores_that_differ_by_next_to_nothing_are_not_ties(name):
    scores = np.nextafter(np.float32(0.5), np.float32([0, 1]))
    assert OURS[name][0](scores, np.array([False, True]), np.ones((1, 2))) == [1.0]


def test_perfect_reversed_and_constant_scores():
    scores, truths, once = np.arange(4.0), np.array([False, False, True, True]), np.ones((1, 4))
    assert auroc(scores, truths, once) == [1.0]
    assert auroc(-scores, truths, once) == [0.0]
    assert auroc(np.zeros(4), truths, once) == [0.5]
    assert average_precision(np.zeros(4), truths, once) == [0.5]


@pytest.mark.parametrize("name", OURS)
def test_a_score_that_is_no_number_is_refused(name):
    with pytest.raises(ValueError, match=r"^1 of 2 scores are no numbers: train the .* anew$"):
        OURS[name][0](np.array([0.5, np.nan]), np.array([True, False]), np.ones((1, 2)))


@pytest.mark.parametrize("name", OURS)
def test_of_no_images_nothing_is_said(name):
    assert np.isnan(OURS[name][0](np.empty(0), np.empty(0, dtype=bool), np.ones((2, 0)))).all()
