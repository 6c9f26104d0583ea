import numpy as np
import pandas as pd
import pytest
from tests.evaluation.scores import parts, tables

from cxr_pipeline.evaluation.evaluation_charts import (
    VERDICTS,
    agreement_chart,
    distance_chart,
    findings_chart,
    metrics_chart,
    utility_chart,
)
from cxr_pipeline.evaluation.scorecard import merge


@pytest.fixture(scope="module")
def files():
    return tables()


def dots(axes):
    return {
        (round(float(line.get_xdata()[0]), 4), line.get_ydata()[0])
        for line in axes.lines
        if len(line.get_xdata()) == 1
    }


def spans(axes):
    return [
        sorted(np.round(line.get_xdata(), 4)) for line in axes.lines if line.get_linewidth() == 1.6
    ]


def labels(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


def panel(figure, title):
    (axes,) = (a for a in figure.axes if a.get_title(loc="left") == title)
    return axes


def test_each_metric_has_dots_intervals_and_the_floor_as_a_band():
    table, _ = merge(parts(), {})
    figure = metrics_chart(table, ["fidelity", "diversity"])
    axes = panel(figure, "KID, classifier ↓")
    assert labels(figure.axes[0]) == ["gan", "vae", "gmvae", "folder"]  # shared by a row
    assert dots(axes) == {(0.035, 0), (0.12, 1), (0.11, 2), (0.002, 3)}
    assert [0.023, 0.047] in spans(axes)
    (band,) = axes.patches
    assert (band.get_x(), round(band.get_x() + band.get_width(), 4)) == (0.0, 0.013)
    assert not [a for a in figure.axes if a.get_title(loc="left").startswith("copies")]


def test_an_interval_that_is_not_known_is_not_drawn():
    rows = [["gan", "fidelity/kid/random", 0.5, np.nan, np.nan, 9]]
    table = pd.DataFrame(rows, columns=["model", "metric", "value", "low", "high", "n"])
    (axes,) = metrics_chart(table, ["fidelity"]).axes
    assert dots(axes) == {(0.5, 0)}
    assert spans(axes) == []


def test_findings_stand_in_order_with_the_mean_last(files):
    figure = findings_chart(files["classifier/scores.csv"])
    auroc = panel(figure, "AUROC ↑ (grey mark: chance)")
    assert labels(auroc) == ["Cardiomegaly", "Effusion", "Mass", "mean"]  # Hernia has none
    assert (0.93, 0) in dots(auroc)
    precision = panel(figure, "average precision ↑ (grey mark: chance)")
    assert (round(6 / 52, 4), 0) in dots(precision)  # chance is the prevalence


def test_agreement_has_a_panel_a_model_and_real_images_behind(files):
    (axes,) = agreement_chart(files["evaluation/agreement.csv"]).axes
    assert axes.get_title(loc="left") == "gmvae: AUROC ↑"
    assert {place for _, place in dots(axes)} == {0, 1, 2, 3}
    assert len(axes.patches) == 4


def test_the_forest_says_gain_loss_and_within_noise(files):
    figure = utility_chart(files["evaluation/utility.csv"])
    first, over, words = figure.axes
    names = labels(first)
    assert names[:3] == ["real: duplicated 25", "real: duplicated 100", "real: augmented"]
    said = dict(zip(names, (text.get_text() for text in words.texts), strict=True))
    assert said["gan: synthetic only"] == "loss"
    assert said["gan: synthetic 100"] == "within noise"
    assert (0.011, names.index("gan: synthetic 100")) in dots(first)
    assert (0.003, names.index("gan: synthetic 100")) in dots(over)
    assert {place for _, place in dots(over)} == set(range(3, 11))  # real arms have no control


def test_verdicts_are_told_apart_without_colours():
    assert len({mark for _, mark in VERDICTS.values()}) == len(VERDICTS)


def test_distances_of_samples_are_drawn_over_those_held_out(files):
    figure = distance_chart(files["evaluation/distances.csv"])
    assert len(figure.axes) == 4 * 2
    axes = panel(figure, "vae: in pixels")
    table = files["evaluation/distances.csv"]
    real = table[(table["model"] == "real") & (table["space"] == "pixels")]["distance"]
    (limit,) = (line.get_xdata()[0] for line in axes.lines)
    assert limit == pytest.approx(np.quantile(real, 0.01))


def test_distances_without_features_have_one_column(files):
    table = files["evaluation/distances.csv"]
    assert len(distance_chart(table[table["space"] == "pixels"]).axes) == 4
