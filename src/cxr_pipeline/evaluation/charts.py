"""Charts of losses."""

import pandas as pd
from matplotlib.figure import Figure

OURS, PAPER = "#1f6f8b", "#c9a227"
SMOOTHING_STEPS = 50


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
