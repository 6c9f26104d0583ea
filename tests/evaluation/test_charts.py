import numpy as np
import pandas as pd
import pytest

from cxr_pipeline.evaluation.charts import loss_chart


def history_of(**metrics):
    rows = [
        {"step": step, "metric": name.replace("__", "/"), "value": value}
        for name, values in metrics.items()
        for step, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows)


def curves(figure):
    """The raw and the smoothed curve of each metric drawn, in order."""
    lines = figure.axes[0].lines
    return list(zip(lines[::2], lines[1::2], strict=True))


def test_each_loss_is_drawn_as_it_is_and_other_metrics_are_not():
    history = history_of(
        loss__generator=[3.0, 2.0, 1.0], loss__discriminator=[0.5, 0.4, 0.3], speed__mean=[9.0] * 3
    )
    figure = loss_chart(history)
    drawn = {smooth.get_label(): raw.get_ydata().tolist() for raw, smooth in curves(figure)}
    assert drawn == {"generator": [3.0, 2.0, 1.0], "discriminator": [0.5, 0.4, 0.3]}
    assert all(raw.get_xdata().tolist() == [1, 2, 3] for raw, _ in curves(figure))
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert sorted(legend) == ["discriminator", "generator"]


def test_losses_have_colours_of_their_own():
    pairs = curves(loss_chart(history_of(loss__a=[1.0], loss__b=[2.0], loss__c=[3.0])))
    assert len(pairs) == 3
    assert len({raw.get_color() for raw, _ in pairs}) == 3
    assert all(raw.get_color() == smooth.get_color() for raw, smooth in pairs)


def test_the_smoothed_curve_is_the_mean_over_a_tenth_of_the_steps():
    values = np.random.default_rng(0).uniform(0, 2, 200)
    ((_, smooth),) = curves(loss_chart(history_of(loss__a=values)))
    expected = [values[max(0, end - 20) : end].mean() for end in range(1, 201)]
    assert smooth.get_ydata() == pytest.approx(expected)


def test_smoothing_never_spans_more_than_fifty_steps():
    values = np.arange(2000.0)
    ((_, smooth),) = curves(loss_chart(history_of(loss__a=values)))
    assert smooth.get_ydata()[-1] == pytest.approx(values[-50:].mean())


def test_steps_that_come_out_of_order_are_drawn_in_order():
    history = history_of(loss__a=[1.0, 2.0, 3.0]).iloc[::-1]
    ((raw, _),) = curves(loss_chart(history))
    assert raw.get_ydata().tolist() == [1.0, 2.0, 3.0]
