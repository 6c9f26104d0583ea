"""What the report shows of an evaluation: scorecard, caveats, charts and tables."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cxr_pipeline.evaluation.caveats import caveats
from cxr_pipeline.evaluation.evaluation_charts import (
    agreement_chart,
    distance_chart,
    findings_chart,
    metrics_chart,
    utility_chart,
)
from cxr_pipeline.evaluation.page_pictures import Picture, chart_picture, picture
from cxr_pipeline.evaluation.page_tables import Table, as_table, power_table
from cxr_pipeline.evaluation.score_files import Scores, read_scores
from cxr_pipeline.evaluation.scorecard import Configs, scorecard

METRIC_CHARTS = {
    "Fidelity and diversity by metric and extractor": ("fidelity", "diversity"),
    "Memorisation by metric": ("memorisation",),
}


def page_scores(reports: Path, configs: Configs) -> dict[str, Any]:
    """Gather what the page's part on scores shows; each None or empty where nothing was measured.

    Args:
        reports: The reporting folder.
        configs: Each generative model's `config.json`, by its name.

    Raises:
        ValueError: If a file is damaged.
    """
    digests = {name: config.get("weights_sha256") for name, config in configs.items()}
    scores = read_scores(reports, digests)
    table = scores.evaluation
    card = None if table is None else scorecard(table, scores.record, configs, scores.utility)
    return {
        "scorecard": card,
        "unmeasured": _unmeasured(scores, card.reasons) if card else [],
        "caveats": caveats(scores),
        "extractors": scores.facts("fidelity").get("extractors", {}),
        "metrics": _metric_charts(table),
        "all": _table(table),
        "classifier": _chart(findings_chart, scores.classifier),
        "classifier_table": _table(scores.classifier),
        "agreement": _chart(agreement_chart, scores.agreement),
        "agreement_table": _table(scores.agreement),
        "utility": _chart(utility_chart, scores.utility),
        "utility_table": _table(scores.utility),
        "distances": _chart(distance_chart, scores.distances),
        "power": None if scores.power is None else power_table(scores.power),
        "closest_pairs": {name: picture(path) for name, path in scores.closest_pairs.items()},
    }


def _unmeasured(scores: Scores, told: Sequence[str]) -> list[str]:
    """What could not be measured and has no cell in the scorecard, with the reasons."""
    rows = [row for row in scores.record.get("missing", []) if row["reason"] not in told]
    lines = [f"{row['metric']}, {row['model']}: {row['reason']}" for row in rows]
    return list(dict.fromkeys(lines))


def _metric_charts(evaluation: pd.DataFrame | None) -> dict[str, Picture]:
    if evaluation is None:
        return {}
    measured = evaluation[evaluation["value"].notna()]
    groups = set(measured["metric"].str.partition("/")[0])
    return {
        title: chart_picture(metrics_chart(measured, own))
        for title, own in METRIC_CHARTS.items()
        if groups & set(own)
    }


def _chart(draw: Callable[[pd.DataFrame], Figure], table: pd.DataFrame | None) -> Picture | None:
    return None if table is None or table.empty else chart_picture(draw(table))


def _table(table: pd.DataFrame | None) -> Table | None:
    return None if table is None or table.empty else as_table(table)
