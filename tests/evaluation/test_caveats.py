from dataclasses import replace

import pytest
from tests.evaluation.scores import save_scores

from cxr_pipeline.evaluation.caveats import caveats, closed_gates
from cxr_pipeline.evaluation.score_files import read_scores


@pytest.fixture
def scores(tmp_path):
    save_scores(tmp_path / "reports", tmp_path / "models")
    return read_scores(tmp_path / "reports")


def about(scores, start):
    return [line for line in caveats(scores) if line.startswith(start)]


def test_whose_gate_is_closed_is_said(scores):
    (line,) = about(scores, "The release gate")
    assert line.startswith("The release gate of gan is closed: 15.0% of 256 samples")
    assert "evaluation.max_memorised=0.1" in line


@pytest.mark.parametrize("limit", [None, 0.15])
def test_a_gate_is_open_at_its_limit_and_where_there_is_none(scores, limit):
    assert closed_gates(replace(scores, record={**scores.record, "max_memorised": limit})) == []


def test_disagreement_of_extractors_is_said(scores):
    assert len(about(scores, "Extractors disagree: gan is nearer")) == 1


def test_few_images_and_more_features_than_images_are_said(scores):
    assert len(about(scores, "Few images: 26 a side")) == 1
    assert "classifier (128), random (240)" in about(scores, "Fewer images than features")[0]
    many = scores.evaluation.assign(n=5000)
    assert about(replace(scores, evaluation=many), "Few") == []


def test_that_nothing_helped_is_said_and_only_then(scores):
    assert "none of 8 arms" in about(scores, "Synthetic images did not help")[0]
    helped = scores.utility.copy()
    first = helped.index[(helped["model"] == "gan") & (helped["group"] == "all")][0]
    helped.loc[first, "verdict"] = "gain"
    assert about(replace(scores, utility=helped), "Synthetic images") == []


def test_a_gain_of_real_arms_is_none_of_synthetic_ones(scores):
    assert (scores.utility["verdict"] == "gain").any()
    assert about(scores, "Synthetic images")


def test_what_the_audit_overlooks_is_said(scores):
    assert about(scores, "The audit overlooks") == []
    power = scores.power.copy()
    power.loc[power["change"] == "flipped", "share"] = 0.3
    (line,) = about(replace(scores, power=power), "The audit overlooks")
    assert line.endswith("flipped (30%)")


def test_without_scores_nothing_is_said(tmp_path):
    assert caveats(read_scores(tmp_path)) == []
