"""What a run that scored models says at its end: a few numbers, and what to beware of."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap

import pandas as pd

from cxr_pipeline.evaluation.caveats import closed_gate, closed_gates
from cxr_pipeline.evaluation.image_sets import REAL
from cxr_pipeline.evaluation.kept_files import read_csv
from cxr_pipeline.evaluation.measured import EVERYTHING
from cxr_pipeline.evaluation.score_cells import Row
from cxr_pipeline.evaluation.score_files import Scores, read_scores
from cxr_pipeline.evaluation.scorecard import scorecard

SHOWN = (
    "Frechet distance, classifier ↓",
    "coverage, classifier ↑",
    "best arm ↑",
    "copies ↓",
)
"""One of each group that every model has."""
REAL_IMAGES = "real images"
WIDTH = 80


def scores_message(made: Mapping[str, Path]) -> str:
    """Say what the models scored, and what the classifier did.

    Args:
        made: What a run made, by names in the catalog; `evaluation.scores` is `evaluation.csv`, and
            `classifier.scores` the classifier's.

    Returns:
        Lines; empty where nothing was scored.
    """
    parts = []
    if "classifier.scores" in made:
        parts.append(_classifier(read_csv(made["classifier.scores"])))
    if "evaluation.scores" in made:
        parts.append(_models(read_scores(made["evaluation.scores"].parent)))
    return "\n\n".join(part for part in parts if part)


def _classifier(scores: pd.DataFrame) -> str:
    """The mean AUROC on real patients held out."""
    rows = scores[(scores["metric"] == "auroc") & scores["value"].notna()]
    means = rows[rows["finding"] == "mean"].to_dict("records")
    if not means:
        return ""
    mean = means[0]
    found = int((rows.loc[rows["finding"] != "mean", "value"] > 0.9).sum())
    return (
        f"Classifier   mean AUROC {mean['value']:.2f} [{mean['low']:.2f}, {mean['high']:.2f}] of "
        f"{len(rows) - len(means)} findings, above 0.9 of {found}"
    )


def _models(scores: Scores) -> str:
    """A column a model and one for real images; then whose gate is closed."""
    if scores.evaluation is None:
        return ""
    card = scorecard(scores.evaluation, scores.record, {}, scores.utility)
    rows = [row for _, group in card.groups for row in group if row.heading in SHOWN]
    columns = [REAL_IMAGES if name == REAL else name for name in card.columns]
    table = pd.DataFrame(
        [[cell.value or "-" for cell in row.cells] for row in rows],
        index=[_spoken(row) for row in rows],
        columns=columns,
    )
    lines = table.to_string(max_colwidth=None).splitlines() if rows else []
    said = [f"Warning: {closed_gate(row, limit)}" for row, limit in closed_gates(scores)]
    said += [
        f"Warning: extractors disagree: {line}" for line in scores.record.get("disagreements", [])
    ]
    said += [
        f"Warning: {row['model']} was not evaluated: {row['reason']}"
        for row in scores.record.get("missing", [])
        if row["metric"] == EVERYTHING
    ]
    said = list(dict.fromkeys(said))
    lines += [text for line in said for text in wrap(line, WIDTH, subsequent_indent="  ")]
    count = len(scores.record.get("missing", []))
    if count:
        lines.append(f"Numbers that are missing: {count}; the report says why")
    return "\n".join(line.rstrip() for line in lines)


def _spoken(row: Row) -> str:
    return row.heading.replace(", classifier", "").replace("best arm", "AUROC, best arm")
