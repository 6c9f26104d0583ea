"""Charts of what training recorded: losses, and how it was going."""

import itertools
import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OURS = "#2a86a8"
COLOURS = (
    OURS, "#bf8412", "#c4487a", "#5b9230", "#8a6fd6", "#cf6a32", "#23917f", "#838383", "#bd4fb0",
)  # fmt: skip
"""Neither light nor dark: seen on white paper and on a dark page."""
BEHIND = "#8f8f8f"

SMOOTHING_STEPS = 50

LOGARITHMIC_ABOVE = 30
"""An axis is logarithmic if the highest value shown is more than this many times what nine in ten
values exceed: else the lowest curve, or the end of all, would lie flat on the ground."""

HELD_OUT = ("validation", "train")
GROUPS = (*HELD_OUT, "latent", "quality", "scores", "gradient")
"""What the diagnostics show, in this order: the first part of a metric's name."""
ONE_PANEL = ("scores", "gradient")
"""Groups whose metrics are read beside one another."""
PANEL_COLUMNS = 3

Curves = dict[str, tuple[str, pd.DataFrame]]
"""Colour and rows (`step`, `value`) of each curve, by its name."""


def loss_chart(history: pd.DataFrame) -> Figure:
    """Draw each loss over the training steps, with a running mean above the raw curve.

    The most extreme values, mostly of the first steps, may run off the chart: those after them are
    what one looks for. Losses that are far apart get a logarithmic axis, which says so.

    Args:
        history: `step`, `metric`, `value`; metrics named `loss/...` are drawn.
    """
    return _one_panel(loss_curves(history))


def sweep_chart(history: pd.DataFrame) -> Figure:
    """Draw the total loss of each member of a sweep over the training steps (Fig. 5).

    Args:
        history: `step`, `metric`, `value`, `member`; the metric `loss/total` is drawn.
    """
    return _one_panel(sweep_curves(history))


def diagnostics_chart(history: pd.DataFrame) -> Figure:
    """Draw how training was going, a panel a metric.

    Of `GROUPS`, what is there: losses on images held out, with the same loss in training behind
    them; active latents, and components in use; the diversity of what is drawn, and how far
    reconstructions are off; a discriminator's scores; the norms of gradients.

    Args:
        history: `step`, `metric`, `value`.
    """
    panels = diagnostic_panels(history)
    rows = max(1, math.ceil(len(panels) / PANEL_COLUMNS))
    figure = Figure(figsize=(3.2 * PANEL_COLUMNS, 2.4 * rows), layout="constrained")
    grid = figure.subplots(rows, PANEL_COLUMNS, squeeze=False)
    for axes, (title, curves) in zip(grid.flat, panels.items(), strict=False):
        _draw_curves(axes, curves)
        axes.set_title(title, loc="left", fontsize="medium")
        axes.set_xlim(0, history["step"].max())
        if axes.get_yscale() == "log":
            axes.set_ylabel("logarithmic", fontsize="small")
        if len(curves) > 1:
            axes.legend(frameon=False, fontsize="small")
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    return figure


def loss_curves(history: pd.DataFrame) -> Curves:
    """The curves of `loss_chart`."""
    losses = history[history["metric"].str.startswith("loss/")].groupby("metric")
    return _coloured({str(name).removeprefix("loss/"): rows for name, rows in losses})


def sweep_curves(history: pd.DataFrame) -> Curves:
    """The curves of `sweep_chart`."""
    losses = history[history["metric"] == "loss/total"].groupby("member", sort=False)
    return _coloured({str(member).replace("_", " "): rows for member, rows in losses})


def diagnostic_panels(history: pd.DataFrame) -> dict[str, Curves]:
    """The curves of each panel of `diagnostics_chart`, by its title."""
    metrics = {str(metric): rows for metric, rows in history.groupby("metric", sort=False)}
    panels: dict[str, Curves] = {}
    for group in GROUPS:
        of_group = [metric for metric in metrics if metric.startswith(f"{group}/")]
        for colour, metric in zip(itertools.cycle(COLOURS), of_group):
            name = metric.removeprefix(f"{group}/")
            spoken = name.replace("_", " ")
            if group in ONE_PANEL:
                panels.setdefault(group, {})[spoken] = (colour, metrics[metric])
                continue
            curves = {group: (OURS, metrics[metric])}
            if group in HELD_OUT and f"loss/{name}" in metrics:
                curves = {"in training": (BEHIND, metrics[f"loss/{name}"])} | curves
            panels[f"{group}: {spoken}"] = curves
    return panels


def raw_and_smooth(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """A curve's values by their step, in order, and their running mean over a tenth of them."""
    values = rows.set_index("step")["value"].sort_index()
    window = max(1, min(SMOOTHING_STEPS, len(values) // 10))
    return values, values.rolling(window, min_periods=1, center=True).mean()


def vertical_axis(curves: Curves) -> tuple[bool, float, float] | None:
    """Choose an axis that shows the curves well, also where a few values are far out.

    Returns:
        Whether it is logarithmic, its lower and its upper end; None where nothing is finite.
    """
    drawn = [rows["value"].to_numpy(dtype=float) for _, rows in curves.values()]
    values = np.concatenate([*drawn, []])
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    lowest, low, highest = np.quantile(values, [0.01, 0.1, 0.99])
    if low > 0 and highest > LOGARITHMIC_ABOVE * low:
        return True, float(np.quantile(values[values > 0], 0.01) / 1.2), float(1.2 * highest)
    bottom, top = min(0.0, 1.2 * lowest), max(0.0, 1.2 * highest)
    return False, float(bottom), float(top if top > bottom else 1.0)


def _coloured(losses: dict[str, pd.DataFrame]) -> Curves:
    colours = itertools.cycle(COLOURS)
    return {name: (next(colours), rows) for name, rows in losses.items()}


def _one_panel(curves: Curves) -> Figure:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    _draw_curves(axes, curves)
    axes.set_xlabel("step")
    axes.set_ylabel("loss, logarithmic axis" if axes.get_yscale() == "log" else "loss")
    axes.legend(frameon=False)
    return figure


def _draw_curves(axes: Axes, curves: Curves) -> None:
    for name, (colour, rows) in curves.items():
        values, smooth = raw_and_smooth(rows)
        marker = "o" if len(values) == 1 else None  # a line through one point is not seen
        axes.plot(values, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(smooth, color=colour, label=name, marker=marker)
    axes.spines[["top", "right"]].set_visible(False)
    ends = vertical_axis(curves)
    if ends is not None:
        logarithmic, bottom, top = ends
        if logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:,g}")
        axes.set_ylim(bottom, top)
