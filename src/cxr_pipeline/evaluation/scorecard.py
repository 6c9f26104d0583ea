"""The scorecard: all that was measured of the models, side by side."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from cxr_pipeline.evaluation.image_sets import REAL
from cxr_pipeline.evaluation.measured import COLUMNS, Measured, Missing
from cxr_pipeline.evaluation.metric_names import (
    GROUPS,
    HIGHER,
    LOWER,
    metric_name,
    metric_order,
)
from cxr_pipeline.evaluation.page_tables import written

NOT_SCORED = "not scored: run kedro run --pipeline=evaluation"
OF_MODELS_ALONE = "known only of models that are trained here"
GAIN = "gain"
"""The verdict of an arm that helps: see `utility`."""

Configs = Mapping[str, Mapping[str, Any]]
"""Each generative model's `config.json`, by its name."""


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


@dataclass(frozen=True)
class Scorecard:
    """All models side by side."""

    columns: Sequence[str]
    """The models' names, and `real` last: what real images score, the floor."""
    groups: Sequence[tuple[str, Sequence[Row]]]
    """A title and its rows."""
    reasons: Sequence[str] = field(default=())
    """Why numbers are missing, each once."""


def scorecard(
    evaluation: pd.DataFrame,
    record: Mapping[str, Any],
    configs: Configs,
    utility: pd.DataFrame | None = None,
) -> Scorecard:
    """Lay the scores out, the models side by side.

    Args:
        evaluation: `evaluation.csv`.
        record: `evaluation.json`, see `gathering.gather`.
        configs: Each generative model's `config.json`, by its name.
        utility: `utility.csv`, which has the verdicts.

    Returns:
        A row a metric, in groups; of the utility one row, each model's best arm; at last parameters
        and training time.
    """
    measured = list(measured_rows(evaluation))
    missing = [Missing(**row) for row in record.get("missing", [])]
    rows: list[Measured | Missing] = [*measured, *missing]
    names = [*configs, *record.get("models", {}), *(row.model for row in rows)]
    columns = [*dict.fromkeys(name for name in names if name not in {"", REAL}), REAL]
    metrics = {row.metric for row in rows if "/" in row.metric}
    of_group: dict[str, list[Row]] = {group: [] for group in GROUPS}
    for metric in sorted(metrics, key=metric_order):
        group = metric_name(metric).group
        if group != "utility":
            of_group.setdefault(group, []).append(_row(metric, columns, measured, missing))
    if any(row.metric.partition("/")[0] == "utility" for row in rows):
        of_group["utility"].append(_utility_row(columns, measured, missing, utility))
    groups = [(GROUPS.get(group, group), own) for group, own in of_group.items() if own]
    groups.append(("Cost", _costs(columns, configs)))
    cells = [cell for _, own in groups for row in own for cell in row.cells]
    return Scorecard(columns, groups, list(dict.fromkeys(c.reason for c in cells if c.reason)))


def measured_rows(evaluation: pd.DataFrame) -> Iterable[Measured]:
    """The rows of `evaluation.csv`; those without a number are left out."""
    known = evaluation[evaluation["value"].notna()]
    for model, metric, value, low, high, n in known[list(COLUMNS)].itertuples(index=False):
        yield Measured(str(model), str(metric), float(value), float(low), float(high), int(n))


def measured_text(value: float, low: float, high: float) -> tuple[str, str]:
    """Write a number and its interval, `0.12` and `[0.10, 0.15]`, with the digits that it bears."""
    width = high - low
    if not (math.isfinite(width) and width > 0):
        return written(value), ""
    digits = min(6, max(0, math.floor(-math.log10(width / 3.3)) + 1))
    own, lower, upper = (f"{number:z,.{digits}f}" for number in (value, low, high))
    return own, f"[{lower}, {upper}]"


def _row(
    metric: str, columns: Sequence[str], measured: Sequence[Measured], missing: Sequence[Missing]
) -> Row:
    named = metric_name(metric)
    rows = {row.model: row for row in measured if row.metric == metric}
    floor, best = rows.get(REAL), best_model(rows, named.better)
    cells = []
    for model in columns:
        if model not in rows:
            cells.append(Cell(reason=_why(model, metric, missing)))
            continue
        cell = _cell(rows[model])
        within = floor is not None and floor.low <= rows[model].value <= floor.high
        cells.append(replace(cell, best=model == best, as_real=within and model != REAL))
    return Row(named.heading, named.what, cells)


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


def _utility_row(
    columns: Sequence[str],
    measured: Sequence[Measured],
    missing: Sequence[Missing],
    utility: pd.DataFrame | None,
) -> Row:
    """Each model's best arm: chosen after the fact, so its verdict stands beside it."""
    verdicts: dict[tuple[str, str], str] = {}
    if utility is not None:
        overall = utility[utility["group"] == "all"]
        arms = zip(overall["model"], overall["arm"], strict=True)
        verdicts = dict(zip(arms, overall["verdict"].fillna("").astype(str), strict=True))
    cells = []
    for model in columns:
        own = [r for r in measured if r.model == model and r.metric.startswith("utility/")]
        if not own:
            cells.append(Cell(reason=_why(model, "utility", missing)))
            continue
        best = max(own, key=lambda row: row.value)
        arm = best.metric.removeprefix("utility/")
        verdict = verdicts.get((model, arm), "")
        note = f"{arm.replace('_', ' ')}, best of {len(own)}" + (f": {verdict}" if verdict else "")
        cells.append(replace(_cell(best), note=note))
    what = "difference in mean AUROC to training on real images alone"
    return Row("best arm ↑", what, cells)


def _cell(row: Measured) -> Cell:
    value, interval = measured_text(row.value, row.low, row.high)
    return Cell(value, interval, n=row.n)


def _why(model: str, metric: str, missing: Sequence[Missing]) -> str:
    """Why a model lacks a number: what was said of the metric, else of its group or its part."""
    group = metric.partition("/")[0]
    # Fidelity and diversity are measured together.
    parts = {group, "fidelity"} if group == "diversity" else {group}
    for row in missing:
        if row.model == model and (
            metric == row.metric or metric.startswith(f"{row.metric}/") or row.metric in parts
        ):
            return row.reason
    for row in missing:
        if row.model == model and row.metric.startswith(f"{metric}/"):
            return row.reason
    return "" if model == REAL else NOT_SCORED


def _costs(columns: Sequence[str], configs: Configs) -> list[Row]:
    parameters, times = [], []
    for model in columns:
        if model not in configs:
            unknown = Cell(reason="" if model == REAL else OF_MODELS_ALONE)
            parameters.append(unknown)
            times.append(unknown)
            continue
        config = configs[model]
        parameters.append(Cell(written(config.get("learned_parameters"))))
        times.append(Cell(spoken_time(config["seconds"])))
    return [
        Row("parameters", "that training changed", parameters),
        Row("training time", "of the training steps alone", times),
    ]


def spoken_time(seconds: float) -> str:
    """A time as people say it: `91 s`, `12.5 min`, `3.4 h`."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
