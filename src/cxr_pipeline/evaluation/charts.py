"""Charts of counts and losses."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

OURS, PAPER = "#1f6f8b", "#c9a227"
SMOOTHING_STEPS = 50


def class_count_chart(counts: pd.DataFrame) -> Figure:
    """Draw each finding's number of images beside the paper's, on a log scale.

    Args:
        counts: `finding`, `count`, `paper` (see `class_counts.count_classes`).
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    places = range(len(counts))
    bars = axes.barh(places, counts["count"], color=OURS, height=0.7, label="this data set")
    axes.bar_label(bars, labels=[f"{count:,}" for count in counts["count"]], padding=4, fontsize=8)
    axes.plot(counts["paper"], places, "|", color=PAPER, ms=16, mew=3, label="paper, Table 1")
    axes.set_yticks(places, [name.replace("_", " ") for name in counts["finding"]])
    axes.invert_yaxis()
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(0, max(counts["count"].max(), counts["paper"].max()) * 4)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("images (log scale)")
    axes.set_title("Images a finding; one with two findings counts under both", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    return figure


def loss_chart(history: pd.DataFrame) -> Figure:
    """Draw each loss over the training steps, with a running mean above the raw curve.

    The highest values, mostly of the first steps, may run off the top: those after them are what
    one looks for.

    Args:
        history: `step`, `metric`, `value`; metrics named `loss/...` are drawn.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    losses = history[history["metric"].str.startswith("loss/")]
    for colour, (metric, rows) in zip(
        (OURS, PAPER, "#8b1f4b", "#4b8b1f"), losses.groupby("metric"), strict=False
    ):
        values = rows.set_index("step")["value"].sort_index()
        window = max(1, min(SMOOTHING_STEPS, len(values) // 10))
        name = str(metric).removeprefix("loss/")
        axes.plot(values, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(values.rolling(window, min_periods=1).mean(), color=colour, label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_ylim(0, 1.2 * float(losses["value"].quantile(0.99)) or 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
