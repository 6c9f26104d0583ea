"""Charts of the labels: how often each finding occurs, in which split and view, beside which."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, PercentFormatter

from cxr_pipeline.data.class_counts import HEAD_ABOVE, TAIL_BELOW

# Colours of a set differ in lightness too: told apart by the colour-blind and in grey print.
GROUP_COLOURS = {"head": "#174a5b", "medium": "#5fa8bf", "tail": "#e07b39"}
VIEW_COLOURS = {"PA": "#d3c7e6", "AP": "#7552a3", "unknown": "#555555"}
INK, FAINT, BAND, GREY = "#222222", "#8a8a8a", "#f1f3f4", "#d9d9d9"
# Splits of one size lie upon each other: a cross within an open circle shows both.
SPLIT_STYLES: dict[str, dict[str, Any]] = {
    "train": {"marker": "o", "color": INK, "markersize": 6},
    "validation": {"marker": "o", "color": INK, "markersize": 8, "markerfacecolor": "none"},
    "test": {"marker": "x", "color": INK, "markersize": 6},
}
PAPER_STYLE: dict[str, Any] = {"marker": "|", "color": INK, "markeredgewidth": 2, "linestyle": ""}
HALO = withStroke(linewidth=4, foreground="white")  # the mark is seen upon a dark bar too
SMALL = 8.5  # points

# Inches.
COUNTS_WIDTH, ROW, ABOVE, BELOW = 11.5, 0.28, 0.75, 1.05


def class_count_chart(counts: pd.DataFrame, by_split_and_view: pd.DataFrame) -> Figure:
    """Draw each finding's images beside the paper's, in each split, and the share of each view.

    Args:
        counts: `finding`, `count`, `paper` (see `class_counts.count_classes`).
        by_split_and_view: See `class_counts.count_classes_by_split_and_view`.
    """
    rows = counts.merge(by_split_and_view, on="finding", validate="1:1")
    height = ABOVE + ROW * len(rows) + BELOW
    figure = Figure(figsize=(COUNTS_WIDTH, height))
    # Not a constrained layout: it would shrink the panels for the legends below them.
    grid: dict[str, Any] = {
        "width_ratios": (4.4, 1.5, 3.2, 2.9),
        "wspace": 0.15,
        "left": 0.16,
        "right": 0.98,
        "bottom": BELOW / height,
        "top": 1 - ABOVE / height,
    }
    totals, numbers, splits, views = figure.subplots(1, 4, sharey=True, gridspec_kw=grid)
    title = "Images a finding; one with two findings counts under both"
    figure.text(grid["left"], 1 - 0.26 / height, title, fontsize=11)
    for axes in (totals, numbers, splits, views):
        for place in range(0, len(rows), 2):
            axes.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0, zorder=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=SMALL)
    totals.set_yticks(range(len(rows)), [_spoken(name) for name in rows["finding"]], fontsize=9)
    totals.set_ylim(len(rows) - 0.5, -0.5)
    _draw_totals(totals, rows)
    _write_numbers(numbers, rows)
    _draw_splits(splits, rows)
    _draw_views(views, rows)
    return figure


def _draw_totals(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw all images of each finding, and the paper's; a group of the long tail is a colour."""
    places = range(len(rows))
    axes.barh(places, rows["count"], color=_group_colours(rows), height=0.72, zorder=2)
    axes.plot(rows["paper"], places, markersize=12, zorder=3, path_effects=[HALO], **PAPER_STYLE)
    _scale_by_tens(axes, max(rows["count"].max(), rows["paper"].max()))
    axes.set_title("in all", loc="left", fontsize=10)
    of = "training images" if rows["train"].any() else "images"
    meanings = {
        "head": f"head: more than {HEAD_ABOVE:,} {of}",
        "medium": f"medium: {TAIL_BELOW:,} to {HEAD_ABOVE:,}",
        "tail": f"tail: fewer than {TAIL_BELOW:,}",
    }
    groups = [Patch(color=GROUP_COLOURS[group], label=text) for group, text in meanings.items()]
    paper = Line2D([], [], label="paper, Table 1", markersize=10, **PAPER_STYLE)
    _legend(axes, [*groups, paper], columns=2)


def _write_numbers(axes: Axes, rows: pd.DataFrame) -> None:
    """Write the numbers in columns of their own, where they meet no bar and no mark."""
    axes.set_xlim(0, 1)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    for right, name, heading in ((0.43, "count", "here"), (0.95, "paper", "Table 1")):
        axes.text(right, -0.75, heading, ha="right", fontsize=SMALL)
        for place, number in enumerate(rows[name]):
            axes.text(right, place, f"{number:,}", ha="right", va="center_baseline", fontsize=SMALL)


def _draw_splits(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw each finding's images in each split; those in training place it in the long tail."""
    for limit in (TAIL_BELOW, HEAD_ABOVE):
        axes.axvline(limit, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    places = range(len(rows))
    for split in ("validation", "test"):
        axes.plot(rows[split], places, linestyle="", zorder=3, clip_on=False, **SPLIT_STYLES[split])
    axes.scatter(rows["train"], places, s=40, color=_group_colours(rows), zorder=2, clip_on=False)
    _scale_by_tens(axes, max(rows[list(SPLIT_STYLES)].to_numpy().max(), HEAD_ABOVE))
    axes.set_title("in each split", loc="left", fontsize=10)
    handles = [Line2D([], [], ls="", label=name, **style) for name, style in SPLIT_STYLES.items()]
    _legend(axes, handles, columns=3)


def _draw_views(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the views' shares of each finding's images; a finding without any has no bar."""
    left = np.zeros(len(rows))
    for view, colour in VIEW_COLOURS.items():
        shares = (rows[view] / rows["total"].clip(lower=1)).to_numpy()
        bars = axes.barh(range(len(rows)), shares, left=left, color=colour, height=0.72, zorder=2)
        texts = [f"{share:.0%}" if share > 0.12 else "" for share in shares]
        ink = INK if view == "PA" else "white"
        axes.bar_label(bars, texts, label_type="center", color=ink, fontsize=7.5, zorder=3)
        left += shares
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of the finding's images", fontsize=SMALL)
    axes.set_title("of each view", loc="left", fontsize=10)
    present = [view for view in VIEW_COLOURS if rows[view].any()]
    _legend(axes, [Patch(color=VIEW_COLOURS[view], label=view) for view in present], columns=3)


def _group_colours(rows: pd.DataFrame) -> list[str]:
    return [GROUP_COLOURS[group] for group in rows["group"]]


def _scale_by_tens(axes: Axes, largest: int) -> None:
    """Set a log scale on which 0 has a place too."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    axes.set_xlim(0, max(largest, 10) * 2)
    # 100,000 in full would touch its neighbour.
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1000:.0f}k" if value >= 1000 else f"{value:.0f}")
    )
    axes.set_xlabel("images (log scale)", fontsize=SMALL)


def _legend(axes: Axes, handles: Sequence[Artist], columns: int) -> None:
    """Put a legend below, where no data are."""
    below = 0.52 * axes.figure.dpi / axes.bbox.height
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, -below),
        borderaxespad=0,
        borderpad=0,
        ncols=columns,
        columnspacing=1.4,
        handlelength=1.4,
        handletextpad=0.5,
        frameon=False,
        fontsize=SMALL,
    )


def cooccurrence_chart(cooccurrence: pd.DataFrame) -> Figure:
    """Draw on how many images of each finding each other finding stands too.

    Args:
        cooccurrence: See `class_counts.count_cooccurrence`.
    """
    findings = cooccurrence["finding"].tolist()
    counts = cooccurrence[[*findings, "alone"]].to_numpy(dtype=np.int64)
    size = len(findings)
    shares = counts / np.maximum(counts.diagonal(), 1)[:, np.newaxis]
    shares[range(size), range(size)] = 0  # always 1: it would leave the others pale
    largest = max(float(shares.max()), 0.1)
    scale = ScalarMappable(Normalize(0, largest), "Blues")

    figure = Figure(figsize=(3.2 + 0.44 * size, 3.1 + 0.34 * size), layout="constrained")
    figure.suptitle("Images that have two findings", fontsize=11)
    axes = figure.subplots()
    # The column of those alone stands half a cell away from the square.
    edges = np.append(np.arange(size + 1) - 0.5, [size, size + 1])
    colours = np.insert(scale.to_rgba(shares), size, 1, axis=1)
    colours[range(size), range(size)] = to_rgba(GREY)
    axes.pcolormesh(edges, np.arange(size + 1) - 0.5, colours, edgecolor="white", linewidth=0.8)
    columns = [*range(size), size + 0.5]
    for (row, column), count in np.ndenumerate(counts):
        ink = "white" if shares[row, column] > 0.65 * largest else INK if count else FAINT
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.5, "color": ink}
        axes.text(columns[column], row, f"{count:,}", **style)
    names = [_spoken(name) for name in findings]
    turned: dict[str, Any] = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"}
    axes.set_xticks(columns, [*names, "no other finding"], fontsize=9, **turned)
    axes.set_yticks(range(size), names, fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_ylim(size - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    percent = PercentFormatter(1, decimals=0)
    bar = figure.colorbar(scale, ax=axes, location="bottom", format=percent, shrink=0.5, aspect=40)
    bar.set_label(
        "share of the row's images with the column's finding; grey: all of the row's", fontsize=9
    )
    return figure


def _spoken(name: str) -> str:
    return name.replace("_", " ")
