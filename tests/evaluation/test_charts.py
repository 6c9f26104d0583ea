import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from cxr_pipeline.data.findings import PAPER_COUNTS
from cxr_pipeline.evaluation.charts import OURS, PAPER, class_count_chart, loss_chart


@pytest.fixture
def counts():
    return pd.DataFrame(
        {
            "finding": list(PAPER_COUNTS),
            "count": [0, 112_120, *range(1, len(PAPER_COUNTS) - 1)],
            "paper": list(PAPER_COUNTS.values()),
        }
    )


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


def test_each_finding_has_a_bar_as_long_as_its_count(counts):
    axes = class_count_chart(counts).axes[0]
    assert [bar.get_width() for bar in axes.patches] == counts["count"].tolist()
    assert {to_hex(bar.get_facecolor()) for bar in axes.patches} == {OURS}
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [name.replace("_", " ") for name in PAPER_COUNTS]


def test_counts_are_written_at_the_bars_with_commas(counts):
    axes = class_count_chart(counts).axes[0]
    assert [text.get_text() for text in axes.texts][:3] == ["0", "112,120", "1"]


def test_the_papers_counts_are_marked_on_the_same_rows(counts):
    axes = class_count_chart(counts).axes[0]
    (marks,) = axes.lines
    assert marks.get_xdata().tolist() == list(PAPER_COUNTS.values())
    middles = [bar.get_y() + bar.get_height() / 2 for bar in axes.patches]
    assert list(marks.get_ydata()) == pytest.approx(middles)
    assert marks.get_color() == PAPER


def test_every_count_lies_within_the_axes_and_the_first_row_is_on_top(counts):
    axes = class_count_chart(counts).axes[0]
    low, high = axes.get_xlim()
    assert low == 0
    assert high > 112_120
    assert axes.yaxis_inverted()


def test_the_chart_of_counts_says_what_is_drawn(counts):
    axes = class_count_chart(counts).axes[0]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(legend) == ["paper, Table 1", "this data set"]
    assert "images" in axes.get_xlabel()


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
