import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.evaluation.charts import diagnostics_chart, loss_chart, sweep_chart


def history_of(**metrics):
    rows = [
        {"step": step, "metric": name.replace("__", "/"), "value": value}
        for name, values in metrics.items()
        for step, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows)


def curves(axes):
    """The raw and the smoothed curve of each metric drawn, by its name."""
    return {
        smooth.get_label(): (raw, smooth)
        for raw, smooth in zip(axes.lines[::2], axes.lines[1::2], strict=True)
    }


def numbers(axes):
    return {name: raw.get_ydata().tolist() for name, (raw, _) in curves(axes).items()}


def loss_curves(history):
    (axes,) = loss_chart(history).axes
    return curves(axes)


def panels(history):
    """The panels drawn, by their titles."""
    drawn = [axes for axes in diagnostics_chart(history).axes if axes.axison]
    return {axes.get_title(loc="left"): axes for axes in drawn}


def test_each_loss_is_drawn_as_it_is_and_other_metrics_are_not():
    history = history_of(
        loss__generator=[3.0, 2.0, 1.0], loss__discriminator=[0.5, 0.4, 0.3], speed__mean=[9.0] * 3
    )
    (axes,) = loss_chart(history).axes
    assert numbers(axes) == {"generator": [3.0, 2.0, 1.0], "discriminator": [0.5, 0.4, 0.3]}
    assert all(raw.get_xdata().tolist() == [1, 2, 3] for raw, _ in curves(axes).values())
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(legend) == ["discriminator", "generator"]


def test_losses_have_colours_of_their_own():
    pairs = loss_curves(history_of(loss__a=[1.0], loss__b=[2.0], loss__c=[3.0])).values()
    assert len({raw.get_color() for raw, _ in pairs}) == 3
    assert all(raw.get_color() == smooth.get_color() for raw, smooth in pairs)


def test_the_smoothed_curve_is_the_mean_over_a_tenth_of_the_steps():
    values = np.random.default_rng(0).uniform(0, 2, 200)
    _, smooth = loss_curves(history_of(loss__a=values))["a"]
    # Around each step, ten before and nine after: it lags behind nothing.
    expected = [values[max(0, step - 10) : step + 10].mean() for step in range(200)]
    assert smooth.get_ydata() == pytest.approx(expected)


def test_smoothing_never_spans_more_than_fifty_steps():
    values = np.where(np.arange(2000) == 1000, 1.0, 0.0)
    _, smooth = loss_curves(history_of(loss__a=values))["a"]
    assert np.count_nonzero(smooth.get_ydata()) == 50


def test_steps_that_come_out_of_order_are_drawn_in_order():
    history = history_of(loss__a=[1.0, 2.0, 3.0]).iloc[::-1]
    raw, _ = loss_curves(history)["a"]
    assert raw.get_ydata().tolist() == [1.0, 2.0, 3.0]


def test_a_single_step_is_seen():
    _, smooth = loss_curves(history_of(loss__a=[1.0]))["a"]
    assert smooth.get_marker() == "o"
    _, smooth = loss_curves(history_of(loss__a=[1.0, 2.0]))["a"]
    assert smooth.get_marker() == "None"


FALLING = 100 + 2000 * np.exp(-np.arange(200) / 20)


def test_losses_far_apart_get_a_logarithmic_axis_that_says_so():
    (axes,) = loss_chart(history_of(loss__error=FALLING, loss__kl=np.full(200, 3.0))).axes
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "loss, logarithmic axis"
    assert axes.get_ylim()[0] < 3 < FALLING.max() / 2 < axes.get_ylim()[1]
    axes.figure.canvas.draw()
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert "1,000" in ticks


def test_losses_of_one_size_start_at_zero():
    (axes,) = loss_chart(history_of(loss__a=FALLING + 100, loss__b=0.9 * FALLING)).axes
    assert axes.get_yscale() == "linear"
    assert axes.get_ylabel() == "loss"
    assert axes.get_ylim()[0] == 0


def test_values_below_zero_are_seen_and_take_no_logarithm():
    (axes,) = loss_chart(history_of(loss__kl=[-5.0, -4.0], loss__error=[900.0, 800.0])).axes
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] < -5


def test_one_high_value_runs_off_the_top():
    values = np.where(np.arange(300) == 0, 1e6, 1.0)
    (axes,) = loss_chart(history_of(loss__a=values)).axes
    assert axes.get_ylim() == pytest.approx((0, 1.2))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.floats(-1e9, 1e9) | st.sampled_from([0.0, 1e-300, np.nan, np.inf]),
        min_size=1,
        max_size=30,
    )
)
def test_whatever_was_recorded_can_be_drawn(values):
    history = history_of(loss__a=values, loss__b=values[::-1], latent__units=values)
    for figure in (loss_chart(history), diagnostics_chart(history)):
        bottom, top = figure.axes[0].get_ylim()
        assert bottom < top


def test_a_sweep_s_members_are_drawn_in_order_by_their_total_loss():
    parts = [
        history_of(loss__total=[level, level / 2], loss__kl=[9.0, 9.0]).assign(member=member)
        for member, level in (("beta_1", 4.0), ("beta_0.1", 3.0), ("beta_0.002", 2.0))
    ]
    (axes,) = sweep_chart(pd.concat(parts)).axes
    assert list(curves(axes)) == ["beta 1", "beta 0.1", "beta 0.002"]
    assert numbers(axes) == {"beta 1": [4, 2], "beta 0.1": [3, 1.5], "beta 0.002": [2, 1]}


def test_diagnostics_have_a_panel_each_and_losses_and_speed_none():
    history = history_of(
        speed__images_per_second=[9.0] * 2,
        loss__total=[4.0, 3.0],
        gradient__vae=[5.0, 6.0],
        latent__active_units=[0.0, 7.0],
        warning__posterior_collapse=[1.0],
        quality__diversity=[0.1, 0.8],
        validation__loss=[2.0, 1.0],
    )
    drawn = panels(history)
    assert list(drawn) == [
        "validation: loss",
        "latent: active units",
        "quality: diversity",
        "gradient",
    ]
    assert numbers(drawn["latent: active units"]) == {"latent": [0, 7]}
    assert numbers(drawn["gradient"]) == {"vae": [5, 6]}
    assert drawn["gradient"].get_legend() is None


def test_a_loss_on_held_out_images_stands_before_the_same_loss_in_training():
    history = history_of(loss__kl=[4.0, 3.0], validation__kl=[5.0, 6.0], train__kl=[1.0])
    drawn = panels(history)
    training = {"in training": [4, 3]}
    assert numbers(drawn["validation: kl"]) == training | {"validation": [5, 6]}
    assert numbers(drawn["train: kl"]) == training | {"train": [1]}
    legend = drawn["validation: kl"].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["in training", "validation"]


def test_scores_and_gradients_share_a_panel():
    history = history_of(
        scores__real=[0.9],
        scores__drawn=[-0.1],
        gradient__generator=[1.0] * 5,
        gradient__discriminator=[900.0] * 5,
    )
    drawn = panels(history)
    assert list(drawn) == ["scores", "gradient"]
    assert numbers(drawn["scores"]) == {"real": [0.9], "drawn": [-0.1]}
    assert drawn["scores"].get_ylim()[0] < -0.1
    assert drawn["gradient"].get_ylabel() == "logarithmic"


def test_panels_have_the_same_steps_below_them():
    history = pd.DataFrame(
        [(50, "latent/active_units", 1.0), (200, "scores/real", 1.0)],
        columns=["step", "metric", "value"],
    )
    assert [axes.get_xlim() for axes in panels(history).values()] == [(0, 200)] * 2


def test_without_diagnostics_no_panel_is_drawn():
    assert panels(history_of(loss__a=[1.0])) == {}
