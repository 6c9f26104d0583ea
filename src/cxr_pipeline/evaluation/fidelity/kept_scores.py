"""What was measured of each set, kept: a run that was stopped goes on with the next set."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_pipeline.data.files import json_digest, write_json
from cxr_pipeline.evaluation.image_sets import ImageSet
from cxr_pipeline.evaluation.kept_features import DESCRIBES
from cxr_pipeline.evaluation.kept_files import read_json
from cxr_pipeline.evaluation.measured import Measured, Missing

logger = logging.getLogger(__name__)

FORMAT = 1
"""Raise it whenever a metric is computed in another way: what was kept before is not taken then."""


@dataclass(frozen=True)
class SetScores:
    """What was measured of a set, and what could not be."""

    rows: list[Measured] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    dimensions: dict[str, int] = field(default_factory=dict)
    """How many features each extractor gave, by its name."""


def facts_that_decide(images: ImageSet) -> dict[str, Any]:
    """The facts of a set that its pixels follow from, and their shape; not what it is called.

    Raises:
        KeyError: If it has no digest, by which sets are told apart.
    """
    known = {name: images.facts[name] for name in DESCRIBES if name in images.facts}
    return known | {"digest": images.facts["digest"]} | {"shape": list(images.pixels.shape)}


def kept_scores(
    folder: Path, key: Mapping[str, Any], name: str, measure: Callable[[], SetScores]
) -> SetScores:
    """Measure a set, or find it measured.

    Args:
        folder: Where scores are kept, each set's in `scores/<digest of its key>.json`.
        key: All that the scores follow from, in JSON's types.
        name: What the set is called.
        measure: Measures it.

    Raises:
        ValueError: If a file is damaged.
    """
    path = folder / "scores" / f"{json_digest([FORMAT, dict(key)])[:16]}.json"
    if path.is_file():
        kept = read_json(path)
        # Reasons have the name that the set had then.
        if kept["name"] == name or not kept["missing"]:
            logger.info("Fidelity of %s: measured before", name)
            path.touch()
            return _named(kept, name)
    scores = measure()
    content = {
        "name": name,
        "rows": [_without_model(row) for row in scores.rows],
        "missing": [_without_model(row) for row in scores.missing],
        "dimensions": scores.dimensions,
    }
    write_json(path, content)
    return scores


def _without_model(row: Measured | Missing) -> dict[str, Any]:
    return {column: value for column, value in row._asdict().items() if column != "model"}


def _named(kept: Mapping[str, Any], name: str) -> SetScores:
    return SetScores(
        [Measured(name, **row) for row in kept["rows"]],
        [Missing(name, **row) for row in kept["missing"]],
        dict(kept["dimensions"]),
    )
