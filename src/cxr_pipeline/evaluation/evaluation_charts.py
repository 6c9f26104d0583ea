"""Charts of the evaluation: numbers as dots with their intervals, and where real images lie."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cxr_pipeline.evaluation.charts import BEHIND, COLOURS, OURS
from cxr_pipeline.evaluation.image_sets import REAL
from cxr_pipeline.evaluation.label_charts import FAINT, INK, SMALL
from cxr_pipeline.evaluation.measured import Measured
from cxr_pipeline.evaluation.metric_names import metric_name, metric_order
from cxr_pipeline.evaluation.score_cells import measured_rows

FLOOR = "#cfe3ea"
VERDICTS = {"gain": ("#2f7d32", "D"), "loss": ("#b3541e", "s"), "within noise": ("#6b6b6b", "o")}
"""Colour and mark of each: told apart without colours too."""

# Inches.
WIDTH, ROW, PANEL_EDGE = 10.0, 0.24, 0.62


def metrics_chart(evaluation: pd.DataFrame, groups: Sequence[str]) -> Figure:
    """Draw each metric in a panel of its own, a dot and an interval a model.

    The band is the floor: the interval of what real images held out score.

    Args:
        evaluation: `evaluation.csv`.
        groups: Which metrics: the first part of their names.
    """
    rows = [r for r in measured_rows(evaluation) if metric_name(r.metric).group in groups]
    metrics = sorted({row.metric for row in rows}, key=metric_order)
    models = list(dict.fromkeys(row.model for row in rows if row.model != REAL))
    columns = min(3, max(1, len(metrics)))
    lines = -(-len(metrics) // columns)
    height = max(1, lines) * (ROW * max(1, len(models)) + PANEL_EDGE)
    figure = Figure(figsize=(WIDTH, height + 0.35), layout="constrained")
    grid = figure.subplots(max(1, lines), columns, squeeze=False, sharey=True)
    for axes, metric in zip(grid.flat, metrics, strict=False):
        _draw_metric(axes, metric, [row for row in rows if row.metric == metric], models)
    for axes in grid.flat[len(metrics) :]:
        axes.set_axis_off()
    floor = Patch(color=FLOOR, label="real images held out (the floor)")
    figure.legend(handles=[floor], loc="outside lower left", frameon=False, fontsize=SMALL)
    return figure


def _draw_metric(axes: Axes, metric: str, rows: Sequence[Measured], models: Sequence[str]) -> None:
    for row in rows:
        if row.model == REAL:
            axes.axvspan(row.low, row.high, color=FLOOR, linewidth=0, zorder=0)
            axes.axvline(row.value, color=OURS, linewidth=0.8, zorder=1)
        else:
            _dot(axes, models.index(row.model), row.value, row.low, row.high, INK)
    _name_rows(axes, models)
    axes.set_title(metric_name(metric).heading, loc="left", fontsize=9)
    axes.locator_params(axis="x", nbins=5)


def findings_chart(scores: pd.DataFrame) -> Figure:
    """Draw how well the classifier tells each finding, on real images held out.

    Args:
        scores: `classifier/scores.csv`.
    """
    known = scores[scores["value"].notna()]
    order = known[known["metric"] == "auroc"].sort_values("value", ascending=False)["finding"]
    names = [*(name for name in order if name != "mean"), *(["mean"] if "mean" in {*order} else [])]
    figure = Figure(figsize=(WIDTH, ROW * len(names) + 1.0), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, metric in zip(panels, ("auroc", "average_precision"), strict=True):
        own = known[(known["metric"] == metric) & known["finding"].isin(names)]
        for row in own.to_dict("records"):
            place = names.index(row["finding"])
            colour = OURS if row["finding"] == "mean" else INK
            _dot(axes, place, row["value"], row["low"], row["high"], colour)
            chance = 0.5 if metric == "auroc" else row["positives"] / row["n"]
            if row["finding"] != "mean":
                axes.plot(chance, place, marker="|", color=FAINT, markersize=9, zorder=1)
        spoken = "AUROC" if metric == "auroc" else "average precision"
        axes.set_title(f"{spoken} ↑ (grey mark: chance)", loc="left", fontsize=9)
        axes.set_xlim(-0.02, 1.02)
        _name_rows(axes, [name.replace("_", " ") for name in names])
    return figure


def agreement_chart(agreement: pd.DataFrame) -> Figure:
    """Draw how well samples show what they were asked for, a panel a model.

    Args:
        agreement: `evaluation/agreement.csv`.
    """
    known = agreement[agreement["auroc"].notna()]
    names = list(dict.fromkeys(known["finding"]))
    models = [name for name in dict.fromkeys(known["model"]) if name != REAL]
    real = known[known["model"] == REAL].to_dict("records")
    figure = Figure(figsize=(WIDTH, ROW * len(names) + 1.1), layout="constrained")
    panels = figure.subplots(1, max(1, len(models)), sharey=True, squeeze=False)[0]
    for axes, model in zip(panels, models or [REAL], strict=True):
        for row in real:
            place = names.index(row["finding"])
            axes.barh(
                place, row["high"] - row["low"], left=row["low"], height=0.7, color=FLOOR, zorder=0
            )
        for row in known[known["model"] == model].to_dict("records"):
            _dot(axes, names.index(row["finding"]), row["auroc"], row["low"], row["high"], INK)
        axes.axvline(0.5, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_title(f"{model}: AUROC ↑", loc="left", fontsize=9)
        axes.set_xlim(-0.02, 1.02)
        _name_rows(axes, [name.replace("_", " ") for name in names])
    band = Patch(color=FLOOR, label="real images with that finding")
    chance = Line2D([], [], color=FAINT, linestyle=(0, (4, 3)), linewidth=0.8, label="chance")
    figure.legend(
        handles=[band, chance], loc="outside lower left", ncols=2, frameon=False, fontsize=SMALL
    )
    return figure


def utility_chart(utility: pd.DataFrame) -> Figure:
    """Draw what each arm changes: differences to real images alone, and to the arm's control.

    Args:
        utility: `evaluation/utility.csv`; its rows of all findings together are drawn.
    """
    rows = utility[(utility["group"] == "all") & utility["difference"].notna()]
    rows = rows[~((rows["model"] == REAL) & (rows["arm"] == REAL))]
    records = rows.to_dict("records")
    names = [f"{row['model']}: {str(row['arm']).replace('_', ' ')}" for row in records]
    figure = Figure(figsize=(WIDTH, ROW * len(names) + 1.2), layout="constrained")
    to_real, over, words = figure.subplots(
        1, 3, sharey=True, gridspec_kw={"width_ratios": (4, 4, 1.3)}
    )
    for place, row in enumerate(records):
        colour, mark = VERDICTS.get(str(row["verdict"]), (BEHIND, "o"))
        ends = (row["difference"], row["difference_low"], row["difference_high"])
        _dot(to_real, place, *ends, colour, mark)
        if pd.notna(row["over_control"]):
            ends = (row["over_control"], row["over_control_low"], row["over_control_high"])
            _dot(over, place, *ends, colour, mark)
        said = "" if pd.isna(row["verdict"]) else str(row["verdict"])
        words.text(0, place, said, va="center", fontsize=SMALL, color=colour)
    for axes in (to_real, over):
        axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
        axes.locator_params(axis="x", nbins=6)
        axes.set_xlabel("difference in mean AUROC: to the right it helps", fontsize=SMALL)
        _name_rows(axes, names)
    to_real.set_title("to real images alone", loc="left", fontsize=9)
    over.set_title("to the control of as many images", loc="left", fontsize=9)
    words.set_title("verdict", loc="left", fontsize=9)
    words.set_axis_off()
    return figure


def distance_chart(distances: pd.DataFrame) -> Figure:
    """Draw how far images are from their nearest training image: samples, and real ones held out.

    Args:
        distances: `evaluation/distances.csv`.
    """
    known = distances[np.isfinite(distances["distance"])]
    spaces = list(dict.fromkeys(known["space"]))
    models = [name for name in dict.fromkeys(known["model"]) if name != REAL]
    figure = Figure(figsize=(WIDTH, 1.25 * len(models) + 0.8), layout="constrained")
    grid = figure.subplots(max(1, len(models)), max(1, len(spaces)), sharex="col", squeeze=False)
    for column, space in enumerate(spaces):
        own = known[known["space"] == space]
        edges = np.histogram_bin_edges(own["distance"], bins=30)
        real = own.loc[own["model"] == REAL, "distance"]
        for row, model in enumerate(models):
            axes = grid[row, column]
            style: dict[str, Any] = {"bins": edges, "density": True}
            axes.hist(real, **style, color=FLOOR, label="real images held out")
            if len(real):
                limit = float(np.quantile(real, 0.01))
                axes.axvline(
                    limit,
                    color=OURS,
                    linewidth=1,
                    linestyle=(0, (4, 3)),
                    label="their 1st percentile",
                )
            colour = COLOURS[(models.index(model) + 1) % len(COLOURS)]
            samples = own.loc[own["model"] == model, "distance"]
            axes.hist(
                samples, **style, histtype="step", color=colour, linewidth=1.6, label="samples"
            )
            axes.set_title(f"{model}: in {space}", loc="left", fontsize=9)
            axes.set_yticks([])
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(labelsize=SMALL)
        grid[-1, column].set_xlabel("distance to the nearest training image", fontsize=SMALL)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    handles = [*handles[:-1], Line2D([], [], color=BEHIND, linewidth=1.6)] if handles else []
    figure.legend(handles, labels, loc="outside lower left", ncols=3, frameon=False, fontsize=SMALL)
    return figure


def _dot(
    axes: Axes,
    place: float,
    value: float,
    low: float,
    high: float,
    colour: str,
    mark: str = "o",
) -> None:
    """Draw a number with its interval; one whose ends are not known has a dot alone."""
    if np.isfinite(low) and np.isfinite(high):
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6, zorder=2)
    axes.plot(value, place, marker=mark, color=colour, markersize=5, zorder=3)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=SMALL)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=SMALL)
    axes.grid(axis="y", color="#eceff1", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
