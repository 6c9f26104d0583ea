"""Charts of losses."""

import itertools

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OURS, PAPER = "#1f6f8b", "#c9a227"
SMOOTHING_STEPS = 50


COLOURS = (
    OURS, PAPER, "#8b1f4b", "#4b8b1f", "#5b3a9e", "#c9632a", "#2a9d8f", "#7a7a7a", "#b5179e",
)  # fmt: skip


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
    for colour, (metric, rows) in zip(itertools.cycle(COLOURS), losses.groupby("metric")):
        _draw_curve(axes, rows, colour, str(metric).removeprefix("loss/"))
    _finish(axes, losses["value"])
    return figure


def sweep_chart(history: pd.DataFrame) -> Figure:
    """Draw the total loss of each member of a sweep over the training steps (Fig. 5).

    Args:
        history: `step`, `metric`, `value`, `member`; the metric `loss/total` is drawn.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    losses = history[history["metric"] == "loss/total"]
    members = losses.groupby("member", sort=False)
    for colour, (member, rows) in zip(itertools.cycle(COLOURS), members):
        _draw_curve(axes, rows, colour, str(member).replace("_", " "))
    _finish(axes, losses["value"])
    return figure


def _draw_curve(axes: Axes, rows: pd.DataFrame, colour: str, name: str) -> None:
    values = rows.set_index("step")["value"].sort_index()
    window = max(1, min(SMOOTHING_STEPS, len(values) // 10))
    axes.plot(values, color=colour, alpha=0.25, linewidth=0.8)
    axes.plot(values.rolling(window, min_periods=1).mean(), color=colour, label=name)


def _finish(axes: Axes, values: "pd.Series[float]") -> None:
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_ylim(0, 1.2 * float(values.quantile(0.99)) or 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
