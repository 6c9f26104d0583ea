"""What the parts of the evaluation found, put together: `evaluation.csv` and `evaluation.json`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_pipeline.evaluation.measured import Findings, Measured, Missing, as_frame
from cxr_pipeline.evaluation.score_files import read_configs

OUT_OF_DATE = "out of date, the model was trained anew since: run kedro run --pipeline=evaluation"


def gather(
    parts: Sequence[Findings], models: Path, *, max_memorised: float | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Gather what the parts of the evaluation found.

    Rows of a model that was trained anew since are left out, and said to be out of date.

    Args:
        parts: What each part found.
        models: The models' folder (`data/06_models`), one folder a model with its `config.json`.
        max_memorised: The release gate: the largest share of copies that is let out; None for none.

    Returns:
        `evaluation.csv`, and `evaluation.json`: `missing` (`model`, `metric`, `reason` each),
        `parts` (how each was measured), `disagreements` (lines: where extractors rank models
        differently), `models` (by name, `weights_sha256` and `parts`, those that looked at it),
        `max_memorised`.

    Raises:
        ValueError: If a `config.json` is damaged.
    """
    on_disk = {name: config.get("weights_sha256") for name, config in read_configs(models).items()}
    rows: list[Measured] = []
    missing: list[Missing] = []
    looked_at: dict[str, dict[str, Any]] = {}
    for part in parts:
        stale = {
            name
            for name, digest in part.subjects.items()
            # A folder of images has no weights: what is new in it is not known here.
            if on_disk.get(name) not in {None, digest}
        }
        rows += [row for row in part.rows if row.model not in stale]
        missing += [row for row in part.missing if row.model not in stale]
        missing += [Missing(name, part.part, OUT_OF_DATE) for name in sorted(stale)]
        for name, digest in part.subjects.items():
            if name not in stale:
                own = looked_at.setdefault(name, {"weights_sha256": digest, "parts": []})
                own["parts"].append(part.part)
    return as_frame(rows), {
        "missing": [row._asdict() for row in missing],
        "parts": {part.part: part.facts for part in parts},
        "disagreements": [line for part in parts for line in part.facts.get("disagreements", [])],
        "models": looked_at,
        "max_memorised": max_memorised,
    }
