"""The scorecard: what the parts of the evaluation found, gathered, the models side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_pipeline.evaluation.image_sets import REAL
from cxr_pipeline.evaluation.measured import OUT_OF_DATE, Findings, Measured, Missing, as_frame
from cxr_pipeline.evaluation.metric_names import GROUPS, metric_name, metric_order
from cxr_pipeline.evaluation.page_tables import written
from cxr_pipeline.evaluation.score_cells import (
    Cell,
    Row,
    best_model,
    cell_of,
    measured_rows,
    spoken_time,
    why_missing,
)
from cxr_pipeline.evaluation.score_files import names_model, read_configs

OF_MODELS_ALONE = "known only of models that are trained here"

Configs = Mapping[str, Mapping[str, Any]]
"""Each generative model's `config.json`, by its name."""


@dataclass(frozen=True)
class Scorecard:
    """All models side by side."""

    columns: Sequence[str]
    """The models' names, and `real` last: what real images score, the floor."""
    groups: Sequence[tuple[str, Sequence[Row]]]
    """A title and its rows."""
    reasons: Sequence[str] = field(default=())
    """Why numbers are missing, each once."""


def gather(
    parts: Sequence[Findings], models: Path, *, max_memorised: float | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Gather what the parts of the evaluation found, in this run and in earlier ones.

    Args:
        parts: What each part found.
        models: The models' folder (`data/06_models`), one folder a model with its `config.json`.
        max_memorised: The release gate: the largest share of copies that is let out; None for none.

    Returns:
        As `merge`.

    Raises:
        ValueError: If a `config.json` is damaged.
    """
    digests = {name: config.get("weights_sha256") for name, config in read_configs(models).items()}
    return merge(parts, digests, max_memorised=max_memorised)


def merge(
    parts: Sequence[Findings],
    digests: Mapping[str, str | None],
    *,
    max_memorised: float | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Put together what the parts of the evaluation found.

    Rows of a model that was trained anew since are left out, and said to be out of date.

    Args:
        parts: What each part found.
        digests: The weights' digest of each model as it is now.
        max_memorised: As in `gather`.

    Returns:
        `evaluation.csv`, and `evaluation.json`: `missing` (`model`, `metric`, `reason` each),
        `parts` (how each was measured), `disagreements` (lines: where extractors rank models
        differently), `models` (by name, `weights_sha256` and `parts`, those that looked at it),
        `max_memorised`.
    """
    rows: list[Measured] = []
    missing: list[Missing] = []
    looked_at: dict[str, dict[str, Any]] = {}
    disagreements: list[str] = []
    for part in parts:
        # Of a folder of images it is not known here what is new in it.
        stale = {n for n, digest in part.subjects.items() if digests.get(n) not in {None, digest}}
        disagreements += [
            line
            for line in part.facts.get("disagreements", [])
            if not any(names_model(line, name) for name in stale)
        ]
        if stale == {*part.subjects}:
            stale.add(REAL)  # the floor of nothing
        rows += [row for row in part.rows if row.model not in stale]
        missing += [row for row in part.missing if row.model not in stale]
        missing += [Missing(name, part.part, OUT_OF_DATE) for name in sorted(stale - {REAL})]
        for name, digest in part.subjects.items():
            if name not in stale:
                own = looked_at.setdefault(name, {"weights_sha256": digest, "parts": []})
                own["parts"].append(part.part)
    return as_frame(rows), {
        "missing": [row._asdict() for row in missing],
        "parts": {part.part: part.facts for part in parts},
        "disagreements": disagreements,
        "models": looked_at,
        "max_memorised": max_memorised,
    }


def scorecard(
    evaluation: pd.DataFrame,
    record: Mapping[str, Any],
    configs: Configs,
    utility: pd.DataFrame | None = None,
) -> Scorecard:
    """Lay the scores out, the models side by side.

    Args:
        evaluation: `evaluation.csv`.
        record: `evaluation.json`, see `merge`.
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


def _row(
    metric: str, columns: Sequence[str], measured: Sequence[Measured], missing: Sequence[Missing]
) -> Row:
    named = metric_name(metric)
    rows = {row.model: row for row in measured if row.metric == metric}
    floor, best = rows.get(REAL), best_model(rows, named.better)
    cells = []
    for model in columns:
        if model not in rows:
            cells.append(Cell(reason=why_missing(model, metric, missing)))
            continue
        cell = cell_of(rows[model])
        within = floor is not None and floor.low <= rows[model].value <= floor.high
        cells.append(replace(cell, best=model == best, as_real=within and model != REAL))
    return Row(named.heading, named.what, cells)


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
            cells.append(Cell(reason=why_missing(model, "utility", missing)))
            continue
        best = max(own, key=lambda row: row.value)
        arm = best.metric.removeprefix("utility/")
        verdict = verdicts.get((model, arm), "")
        note = f"{arm.replace('_', ' ')}, best of {len(own)}" + (f": {verdict}" if verdict else "")
        cells.append(replace(cell_of(best), note=note))
    what = "difference in mean AUROC to training on real images alone"
    return Row("best arm ↑", what, cells)


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
