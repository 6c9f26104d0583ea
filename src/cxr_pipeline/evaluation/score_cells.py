"""Cells of the scorecard: a number with its interval, and what is said of it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from cxr_pipeline.evaluation.image_sets import REAL
from cxr_pipeline.evaluation.measured import COLUMNS, EVERYTHING, Measured, Missing
from cxr_pipeline.evaluation.metric_names import HIGHER, LOWER
from cxr_pipeline.evaluation.page_tables import written

NOT_SCORED = "not scored: run kedro run --pipeline=evaluation"


ROUNDING = 1e-9
"""Intervals narrower than that, of the number, are of no width."""


@dataclass(frozen=True)
class Cell:
    """What is known of a model by one metric."""

    value: str = ""
    """Blank where it is not known."""
    interval: str = ""
    note: str = ""
    """An arm and its verdict."""
    n: int | None = None
    best: bool = False
    """Better than every other model, by more than the intervals."""
    as_real: bool = False
    """Within the interval of what real images score."""
    reason: str = ""
    """Why it is not known."""


@dataclass(frozen=True)
class Row:
    """A metric."""

    heading: str
    what: str
    cells: Sequence[Cell]
    """A column each."""

    @property
    def n(self) -> str:
        """How many images the numbers are of: `26`, or `26 to 64`."""
        counts = sorted({cell.n for cell in self.cells if cell.n is not None})
        return " to ".join(f"{count:,}" for count in dict.fromkeys(counts[:1] + counts[-1:]))


def measured_rows(evaluation: pd.DataFrame) -> Iterable[Measured]:
    """The rows of `evaluation.csv`; those without a number are left out."""
    known = evaluation[evaluation["value"].notna()]
    for model, metric, value, low, high, n in known[list(COLUMNS)].itertuples(index=False):
        yield Measured(str(model), str(metric), float(value), float(low), float(high), int(n))


def measured_text(value: float, low: float, high: float) -> tuple[str, str]:
    """Write a number and its interval, `0.12` and `[0.10, 0.15]`, with the digits that it bears."""
    width = high - low
    if not (math.isfinite(width) and width > ROUNDING * max(1.0, abs(value))):
        return written(value), ""
    digits = min(6, max(0, math.floor(-math.log10(width / 3.3)) + 1))
    own, lower, upper = (f"{number:z,.{digits}f}" for number in (value, low, high))
    return own, f"[{lower}, {upper}]"


def best_model(rows: Mapping[str, Measured], better: str) -> str | None:
    """Name the model that is better than all others, by more than the intervals; None if none is.

    Args:
        rows: What was measured of each model by one metric; real images do not take part.
        better: `lower` or `higher`; of other metrics none is best.
    """
    models = {name: row for name, row in rows.items() if name != REAL}
    if len(models) < 2 or better not in {LOWER, HIGHER}:
        return None
    sign = 1 if better == HIGHER else -1
    first = max(models, key=lambda name: sign * models[name].value)
    others = [row for name, row in models.items() if name != first]
    if better == HIGHER:
        clear = all(models[first].low > row.high for row in others)
    else:
        clear = all(models[first].high < row.low for row in others)
    return first if clear else None


def cell_of(row: Measured) -> Cell:
    """Write what was measured."""
    value, interval = measured_text(row.value, row.low, row.high)
    return Cell(value, interval, n=row.n)


def why_missing(model: str, metric: str, missing: Sequence[Missing]) -> str:
    """Why a model lacks a number: what was said of the metric, else of its group or its part."""
    group = metric.partition("/")[0]
    # Fidelity and diversity are measured together.
    parts = {group, EVERYTHING, "fidelity" if group == "diversity" else group}
    for row in missing:
        if row.model == model and (
            metric == row.metric or metric.startswith(f"{row.metric}/") or row.metric in parts
        ):
            return row.reason
    for row in missing:
        if row.model == model and row.metric.startswith(f"{metric}/"):
            return row.reason
    return "" if model == REAL else NOT_SCORED


def spoken_time(seconds: float) -> str:
    """A time as people say it: `91 s`, `12.5 min`, `3.4 h`."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
