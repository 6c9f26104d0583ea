"""Nodes that put scores together, write cards, and export what passes the audit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline import tracking
from cxr_pipeline.parameters.evaluation import EvaluationParameters
from cxr_pipeline.pipelines.evaluation.classifier_nodes import Record


def gather_scores(
    reports: Path, models: Path, evaluation: EvaluationParameters, *found: Record
) -> tuple[pd.DataFrame, Record]:
    """Put together what all parts found, those of earlier runs too where they still hold.

    Args:
        reports: The reporting folder, whose `evaluation` folder has what each part found.
        models: The models' folder, to see which findings are out of date.
        evaluation: The release gate.
        found: Nothing but what has to be there first.
    """
    from cxr_pipeline.evaluation.kept_files import read_json
    from cxr_pipeline.evaluation.measured import findings_from
    from cxr_pipeline.evaluation.scorecard import gather

    parts = [findings_from(read_json(path)) for path in sorted(reports.glob("evaluation/*.json"))]
    scores, facts = gather(parts, models, max_memorised=evaluation.max_memorised)
    for model, rows in scores.groupby("model"):
        with tracking.nested_run(f"scores of {model}", {}, beside=True):
            tracking.log_metrics(0, dict(zip(rows["metric"], rows["value"], strict=True)))
    return scores, facts


def export_audited(
    sets: Any,
    flags: Mapping[str, npt.NDArray[np.bool_]],
    found: Record,
    reports: Path,
    parameters: EvaluationParameters,
    released: Path,
    report: object,
) -> None:
    """Export each model's samples as a data set, unless too many are copies: the release gate.

    Raises:
        ValueError: If a model's share of copies is above `evaluation.max_memorised`; the others are
            exported all the same.
    """
    from cxr_pipeline.evaluation.cards import data_sheet
    from cxr_pipeline.evaluation.memorisation.release import release_sets
    from cxr_pipeline.evaluation.score_files import read_scores

    scores = read_scores(reports)
    release_sets(
        sets.samples,
        flags,
        found,
        released,
        max_memorised=parameters.max_memorised,
        leave_out=parameters.leave_out_memorised,
        describe=lambda config, provenance: data_sheet(config, scores, provenance),
    )
