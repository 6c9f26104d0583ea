"""What a reader of the scores has to know before believing them, each in a line."""

from typing import Any

from cxr_pipeline.evaluation.image_sets import REAL
from cxr_pipeline.evaluation.measured import COPIES, Measured
from cxr_pipeline.evaluation.score_cells import measured_rows
from cxr_pipeline.evaluation.score_files import Scores

FEW_IMAGES = 500
"""Below so many a side, intervals are wide: the usual counts are thousands."""


def caveats(scores: Scores) -> list[str]:
    """List what is to be said of the scores.

    Returns:
        Where extractors disagree, whose release gate is closed, where images are few or features
        many, that no arm helped, and how small the audit's power was; empty without an evaluation.
    """
    if scores.evaluation is None:
        return []
    rows = list(measured_rows(scores.evaluation))
    return [
        *(closed_gate(row, limit) for row, limit in closed_gates(scores)),
        *(f"Extractors disagree: {line}" for line in scores.record.get("disagreements", [])),
        *_few_images(rows, scores.facts("fidelity")),
        *_no_gain(scores),
        *_overlooked(scores),
    ]


def closed_gates(scores: Scores) -> list[tuple[Measured, float]]:
    """The models with more copies than are let out, and how many are."""
    limit = scores.record.get("max_memorised")
    if scores.evaluation is None or limit is None:
        return []
    rows = measured_rows(scores.evaluation)
    return [
        (row, float(limit))
        for row in rows
        if row.metric == COPIES and row.model != REAL and row.value > limit
    ]


def closed_gate(row: Measured, limit: float) -> str:
    """Say that a model's samples are not let out."""
    return (
        f"The release gate of {row.model} is closed: {row.value:.1%} of {row.n:,} samples are "
        f"taken for copies of training images, more than evaluation.max_memorised={limit:g} allows"
    )


def _few_images(rows: list[Measured], facts: dict[str, Any]) -> list[str]:
    counts = [row.n for row in rows if row.metric.startswith(("fidelity/", "diversity/"))]
    if not counts or min(counts) >= FEW_IMAGES:
        return []
    fewest = min(counts)
    patients = f" (of {facts['patients']:,} patients in all)" if "patients" in facts else ""
    lines = [
        f"Few images: {fewest:,} a side{patients}, where thousands are usual. Most differences are "
        "within noise: look at intervals, not at values"
    ]
    wide = [
        f"{name} ({own['dimensions']:,})"
        for name, own in facts.get("extractors", {}).items()
        if (own.get("dimensions") or 0) > fewest
    ]
    if wide:
        lines.append(
            f"Fewer images than features of {', '.join(wide)}: the Frechet distance is too large "
            "by far, of real images too; only its difference to theirs says anything"
        )
    return lines


def _no_gain(scores: Scores) -> list[str]:
    if scores.utility is None:
        return []
    arms = scores.utility[(scores.utility["group"] == "all") & (scores.utility["model"] != REAL)]
    if arms.empty or (arms["verdict"] == "gain").any():
        return []
    return [
        f"Synthetic images did not help: none of {len(arms)} arms gained over real images and over "
        "as many duplicates of them"
    ]


def _overlooked(scores: Scores) -> list[str]:
    """Changes of which the audit missed half of the planted copies, or more."""
    if scores.power is None:
        return []
    planted = scores.power[~scores.power["change"].str.contains("held-out")]
    best = planted.groupby("change", sort=False)["share"].max()
    weak = [f"{change} ({share:.0%})" for change, share in best[best <= 0.5].items()]
    if not weak:
        return []
    return [f"The audit overlooks half or more of the copies that are {', '.join(weak)}"]
