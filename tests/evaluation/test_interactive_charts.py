import json
import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.evaluation.charts import BEHIND, COLOURS
from cxr_pipeline.evaluation.interactive_charts import (
    MOST_POINTS,
    diagnostics_data,
    loss_data,
    sweep_data,
    thinned,
)


def history_of(**metrics):
    rows = [
        {"step": step, "metric": name.replace("__", "/"), "value": value}
        for name, values in metrics.items()
        for step, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows)


def test_each_loss_is_drawn_pale_and_its_mean_strong():
    falling = [float(value) for value in range(40, 0, -1)]
    (chart,) = loss_data(history_of(loss__kl=falling, loss__error=falling, speed__mean=[9.0]))
    names = [trace["name"] for trace in chart["data"]]
    assert names == ["error", "error", "kl", "kl"]
    each, mean = chart["data"][:2]
    assert each["x"] == mean["x"] == list(range(1, 41))
    assert each["y"] == falling
    assert mean["y"][2] == 38.5  # of four: a tenth
    assert each["opacity"] < 0.5
    assert "opacity" not in mean
    assert each["line"]["color"] == mean["line"]["color"] != chart["data"][2]["line"]["color"]
    assert [trace.get("showlegend", True) for trace in chart["data"]] == [False, True] * 2


def test_curves_that_need_no_smoothing_are_drawn_once():
    (chart,) = loss_data(history_of(loss__kl=[3.0, 2.0], loss__error=[1.0]))
    assert [trace["y"] for trace in chart["data"]] == [[1.0], [3.0, 2.0]]
    assert [trace["mode"] for trace in chart["data"]] == ["markers", "lines"]


def test_losses_far_apart_have_a_logarithmic_axis_that_shows_both():
    (chart,) = loss_data(history_of(loss__error=[2000.0] * 9, loss__kl=[3.0] * 9))
    axis = chart["layout"]["yaxis"]
    assert axis["type"] == "log"
    assert axis["range"][0] < math.log10(3) < math.log10(2000) < axis["range"][1]
    (chart,) = loss_data(history_of(loss__error=[4.0] * 9, loss__kl=[3.0] * 9))
    axis = chart["layout"]["yaxis"]
    assert (axis["type"], axis["range"][0]) == ("linear", 0)


def test_members_of_a_sweep_are_drawn_in_their_order():
    parts = [
        history_of(loss__total=[level], loss__kl=[9.0]).assign(member=member)
        for member, level in (("beta_1", 4.0), ("beta_0.1", 3.0))
    ]
    (chart,) = sweep_data(pd.concat(parts))
    assert [trace["name"] for trace in chart["data"]] == ["beta 1", "beta 0.1"]


def test_diagnostics_are_a_chart_a_panel_over_the_same_steps():
    charts = diagnostics_data(
        history_of(loss__kl=[4.0, 3.0, 2.0], validation__kl=[5.0], scores__a=[1.0], scores__b=[2.0])
    )
    titles = [chart["layout"]["title"]["text"] for chart in charts]
    assert titles == ["validation: kl", "scores"]
    assert [trace["name"] for trace in charts[0]["data"]] == ["in training", "validation"]
    assert [chart["layout"]["xaxis"]["range"] for chart in charts] == [[0, 3], [0, 3]]


def test_without_losses_there_is_no_chart():
    history = history_of(speed__mean=[1.0])
    assert loss_data(history) == diagnostics_data(history) == []


def test_a_long_curve_is_thinned_and_keeps_its_peaks():
    values = np.ones(10_000)
    values[[17, 5_003, 9_999]] = 7.0, -3.0, 8.0
    kept = thinned(values, 100)
    assert len(kept) <= 100
    assert {17, 5_003, 9_999} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()
    (chart,) = loss_data(history_of(loss__a=values))
    assert len(chart["data"][0]["x"]) <= MOST_POINTS
    assert max(chart["data"][0]["y"]) == 8.0


numbers = st.floats(-1e9, 1e9) | st.sampled_from([0.0, 1e-300, np.nan, np.inf, -np.inf])


@settings(max_examples=25, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=30))
def test_whatever_was_recorded_is_something_that_plotly_draws(values):
    history = history_of(loss__a=values, loss__b=values[::-1], latent__units=values)
    for chart in [*loss_data(history), *diagnostics_data(history)]:
        json.dumps(chart, allow_nan=False)
        go.Figure(chart)  # refuses a property that Plotly has not


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("page", ["#ffffff", "#14171a"])
@pytest.mark.parametrize("colour", [*COLOURS, BEHIND])
def test_curves_are_seen_on_a_light_page_and_on_a_dark_one(page, colour):
    darker, lighter = sorted([luminance(page), luminance(colour)])
    assert (lighter + 0.05) / (darker + 0.05) >= 3  # WCAG 2.2, 1.4.11: graphics
