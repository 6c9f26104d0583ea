import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr_pipeline.evaluation.classifier_scores import agreement, score_classifier
from cxr_pipeline.evaluation.image_sets import ImageSet

ENTRIES = ("Mass", "Effusion", "Hernia")
HOW = {"replicates": 50, "seed": 0}


def judged(count, seed=0):
    """Truths of two findings that differ, and probabilities that know something of them."""
    rng = np.random.default_rng(seed)
    truths = np.column_stack([rng.random((count, 2)) < 0.4, np.zeros(count, dtype=bool)])
    return (truths + rng.normal(0, 0.8, truths.shape)).astype(np.float32), truths


def picture_set(name, labels, bright=(), **changes):
    """Images that are as bright as the finding they show is probable."""
    pixels = np.zeros((len(labels), 4, 4), dtype=np.uint8)
    pixels[list(bright)] = 200
    groups = np.arange(len(labels))
    return ImageSet(name, pixels, groups, tuple(labels), facts={"digest": "abc"} | changes)


def judge(pixels):
    """Says Mass of bright images, and knows nothing of others."""
    shown = pixels.mean(axis=(1, 2), dtype=np.float32) / 255
    return np.column_stack([shown, np.full_like(shown, 0.5), np.full_like(shown, 0.5)])


def test_values_are_scikit_learn_s_and_the_mean_is_over_the_findings_there_are(caplog):
    probabilities, truths = judged(80)
    scores = score_classifier(probabilities, truths, ENTRIES, np.arange(80), **HOW)
    assert list(scores["finding"]) == [*ENTRIES, "mean"] * 2
    table = scores.set_index(["metric", "finding"])
    for metric, theirs in (
        ("auroc", roc_auc_score),
        ("average_precision", average_precision_score),
    ):
        expected = [theirs(truths[:, c], probabilities[:, c]) for c in (0, 1)]
        assert list(table.loc[metric]["value"][:2]) == pytest.approx(expected)
        assert table.loc[(metric, "mean"), "value"] == pytest.approx(np.mean(expected))
        assert np.isnan(table.loc[(metric, "Hernia"), ["value", "low", "high"]].astype(float)).all()
    there = table.drop("Hernia", level="finding")
    assert ((there["low"] < there["value"]) & (there["value"] < there["high"])).all()
    assert list(table.loc["auroc"]["positives"])[:3] == truths.sum(axis=0).tolist()
    assert set(scores["n"]) == {80}
    assert "No score for Hernia: all or none of the 80 held-out images show it" in caplog.text


def test_intervals_are_wider_where_patients_have_several_images():
    probabilities, truths = judged(40)
    many = [np.repeat(part, 4, axis=0) for part in (probabilities, truths)]

    def width(groups):
        scores = score_classifier(*many, ENTRIES, groups, replicates=200, seed=0)
        return float(scores["high"][0] - scores["low"][0])

    alone, together = width(np.arange(160)), width(np.repeat(np.arange(40), 4))
    assert together > 1.5 * alone


def test_of_a_finding_that_one_patient_has_there_is_no_interval():
    truths = np.zeros((10, 3), dtype=bool)
    truths[:2, 0], truths[:4, 1] = True, True
    probabilities = truths + np.arange(10)[:, None] / 5
    groups = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    scores = score_classifier(probabilities, truths, ENTRIES, groups, **HOW).set_index("finding")
    assert scores["value"].iloc[:2].notna().all()
    assert np.isnan(scores["low"].iloc[0])
    assert scores["low"].iloc[1] < scores["high"].iloc[1]


def test_samples_that_show_what_they_were_asked_agree_and_others_do_not():
    labels = ["Mass", "No Finding"] * 20
    sets = [
        picture_set("gan", labels, bright=range(0, 40, 2)),
        picture_set("vae", labels, bright=range(20)),
        picture_set("gmvae", [""] * 40),
        picture_set("real", labels, bright=range(0, 30, 2)),
    ]
    found, rows = agreement(sets, judge, ENTRIES, classifier="def", **HOW)
    values = {row.model: row.value for row in found.rows}
    assert values == pytest.approx({"gan": 1.0, "vae": 0.5, "real": 0.875})
    assert {row.metric for row in found.rows} == {"agreement/auroc"}
    assert [(gone.model, gone.reason) for gone in found.missing] == [
        ("gmvae", "not conditional: its images were not asked to show anything")
    ]
    assert found.subjects == {"gan": "abc", "vae": "abc", "gmvae": "abc"}
    mine = rows[rows["model"] == "gan"].set_index("finding")
    assert list(mine.index) == list(ENTRIES)
    assert mine.loc["Mass", "auroc"] == 1.0
    assert list(mine["asked"]) == [20, 0, 0]
    assert np.isnan(mine.loc["Hernia", "auroc"])


def test_images_without_a_label_do_not_count_against_those_with_one():
    found, rows = agreement(
        [picture_set("folder", ["Mass", "", "No Finding", ""], bright=[0, 1, 3])],
        judge,
        ENTRIES,
        classifier="def",
        **HOW,
    )
    assert (found.rows[0].value, found.rows[0].n) == (1.0, 2)
    assert list(rows["asked"]) == [1, 0, 0]


@pytest.mark.parametrize(
    ("labels", "judged_by", "reason"),
    [
        (["Mass"] * 4, judge, "each finding was asked of all 4 images or of none: draw them"),
        (
            ["Mass", "Effusion"] * 2,
            lambda pixels: np.full((len(pixels), 3), np.nan, dtype=np.float32),
            "the classifier's probabilities are not all numbers: train it anew",
        ),
    ],
)
def test_what_cannot_be_judged_is_missing_and_the_others_are_there(labels, judged_by, reason):
    found, rows = agreement(
        [picture_set("gan", labels)], judged_by, ENTRIES, classifier="def", **HOW
    )
    assert found.rows == []
    assert rows.empty
    assert found.missing[0].reason.startswith(reason)
