"""What Plotly needs to draw the charts of training in a browser: plain data, no colours of a page.

The curves and their axes are those of `charts`. The page sets the colours of text and grid, which
depend on whether it is light or dark.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.evaluation.charts import (
    Curves,
    diagnostic_panels,
    loss_curves,
    raw_and_smooth,
    sweep_curves,
    vertical_axis,
)

MOST_POINTS = 600
"""Of one curve: as many as a screen shows."""
DIGITS = 4
"""Significant digits of what is shown."""

Chart = dict[str, Any]
"""`data` and `layout` as `Plotly.newPlot` takes them, in JSON's types."""


def loss_data(history: pd.DataFrame) -> list[Chart]:
    """The chart of `charts.loss_chart`, or none where no loss is recorded."""
    return _charts({"": loss_curves(history)}, _last_step(history), height=400)


def sweep_data(history: pd.DataFrame) -> list[Chart]:
    """The chart of `charts.sweep_chart` (Fig. 5)."""
    return _charts({"": sweep_curves(history)}, _last_step(history), height=400)


def diagnostics_data(history: pd.DataFrame) -> list[Chart]:
    """The panels of `charts.diagnostics_chart`, each a chart of its own."""
    return _charts(diagnostic_panels(history), _last_step(history), height=250)


def thinned(values: npt.NDArray[np.floating[Any]], most: int) -> npt.NDArray[np.intp]:
    """Choose the positions of a long curve that its picture needs.

    Args:
        values: (N,) in the order in which they are drawn; may hold NaN.
        most: How many to keep.

    Returns:
        All positions, or at most `most` in order: the lowest and the highest value of each stretch,
        so that no peak is lost.
    """
    if len(values) <= most:
        return np.arange(len(values))
    chosen: set[int] = set()
    for part in np.array_split(np.arange(len(values)), most // 2):
        own = values[part]
        lowest, highest = (
            np.where(np.isnan(own), np.inf, own),
            np.where(np.isnan(own), -np.inf, own),
        )
        chosen |= {int(part[lowest.argmin()]), int(part[highest.argmax()])}
    return np.array(sorted(chosen), dtype=np.intp)


def _charts(panels: dict[str, Curves], last_step: float, *, height: int) -> list[Chart]:
    return [
        {
            "data": [trace for name, curve in curves.items() for trace in _traces(name, *curve)],
            "layout": _layout(title, curves, last_step, height),
        }
        for title, curves in panels.items()
        if curves
    ]


def _traces(name: str, colour: str, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The raw curve, pale, and its running mean, unless they are the same."""
    values, smooth = raw_and_smooth(rows)
    raw = values.to_numpy(dtype=float)
    kept = thinned(raw, MOST_POINTS)
    steps = values.index.to_numpy()[kept].tolist()
    mean = {
        "x": steps,
        "y": _written(smooth.to_numpy(dtype=float)[kept]),
        "name": name,
        "legendgroup": name,
        "mode": "lines" if len(kept) > 1 else "markers",  # a line through one point is not seen
        "line": {"color": colour, "width": 2},
        "hovertemplate": f"%{{y:.{DIGITS}g}}",
    }
    if values.equals(smooth):
        return [mean]
    each = mean | {
        "y": _written(raw[kept]),
        "line": {"color": colour, "width": 1},
        "opacity": 0.45,
        "showlegend": False,
        "hovertemplate": f"%{{y:.{DIGITS}g}}<extra>{name}, this step</extra>",
    }
    return [each, mean | {"hovertemplate": f"%{{y:.{DIGITS}g}}<extra>{name}, mean</extra>"}]


def _layout(title: str, curves: Curves, last_step: float, height: int) -> dict[str, Any]:
    ends = vertical_axis(curves)
    vertical: dict[str, Any] = {"automargin": True, "type": "linear", "tickformat": ",~g"}
    if ends is not None:
        logarithmic, *shown = ends
        vertical["range"] = [math.log10(end) for end in shown] if logarithmic else shown
        if logarithmic:
            vertical |= {"type": "log", "nticks": 4}  # more would be 2, 3, 4 to 9 of each ten
    # From the top: the title, with Plotly's buttons beside it; the legend; the curves.
    layout: dict[str, Any] = {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 56, "b": 8},
        "hovermode": "x unified",
        "showlegend": len(curves) > 1,
        "legend": {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        "xaxis": {
            "automargin": True,
            "range": [0, last_step],
            "title": {"text": "step", "standoff": 4},
        },
        "yaxis": vertical,
    }
    if title:
        place = {"y": 0.99, "yref": "container", "yanchor": "top", "x": 0, "xref": "paper"}
        layout["title"] = {"text": title, "font": {"size": 14}} | place
    return layout


def _last_step(history: pd.DataFrame) -> float:
    return float(history["step"].max()) if len(history) else 0.0


def _written(values: npt.NDArray[np.floating[Any]]) -> Sequence[float | None]:
    """Few digits, and nothing where there is no number: JSON knows no NaN."""
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in values]
