"""The files that an evaluation left, read with care: any may be absent, damaged or out of date."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_pipeline.evaluation.image_sets import REAL
from cxr_pipeline.evaluation.kept_files import read_csv, read_json
from cxr_pipeline.evaluation.measured import COLUMNS, EVERYTHING, OUT_OF_DATE, Missing

SCORES = ("finding", "metric", "value", "low", "high", "positives", "n")
AGREEMENT = ("model", "finding", "auroc", "low", "high", "asked", "n")
UTILITY = (
    "model", "arm", "share", "group", "auroc", "low", "high", "difference", "difference_low",
    "difference_high", "control", "over_control", "over_control_low", "over_control_high",
    "verdict", "seeds", "n",
)  # fmt: skip
POWER = ("space", "change", "planted", "found", "share", "low", "high")
DISTANCES = ("model", "space", "distance")


@dataclass(frozen=True)
class Scores:
    """What is there of an evaluation; None where a file is not, or is of weights that are gone."""

    evaluation: pd.DataFrame | None
    """`evaluation.csv`."""
    record: Mapping[str, Any]
    """`evaluation.json`, see `scorecard.merge`; empty where there is none."""
    classifier: pd.DataFrame | None
    """How well the classifier tells findings on real images held out."""
    agreement: pd.DataFrame | None
    utility: pd.DataFrame | None
    power: pd.DataFrame | None
    """How many of the copies that were planted the audit found."""
    distances: pd.DataFrame | None
    """From each image to its nearest training image."""
    closest_pairs: Mapping[str, Path]
    """A sheet a model."""

    def facts(self, part: str) -> dict[str, Any]:
        """How a part was measured; empty where it was not."""
        return dict(self.record.get("parts", {}).get(part, {}))


def read_scores(reports: Path, digests: Mapping[str, str | None] | None = None) -> Scores:
    """Read what an evaluation left; of each part, what it found of models as they were gathered.

    A table keeps what earlier runs of its part found, of models that were trained anew since too:
    those `evaluation.json` does not name for that part, and so they are left out.

    Args:
        reports: The reporting folder (`data/08_reporting`).
        digests: The weights' digest of each model as it is now: what was found of other weights is
            left out too, and said to be out of date. None takes all as it was gathered.

    Raises:
        ValueError: If a file is damaged.
    """
    own = reports / "evaluation"
    path = reports / "evaluation.json"
    record = read_json(path) if path.is_file() else {}
    evaluation = _read(reports / "evaluation.csv", COLUMNS)
    stale = _trained_anew(record, digests or {})
    if stale and evaluation is not None:
        record = _without(record, stale)
        left = set(record["models"])
        # Real images alone are the floor of nothing.
        gone = stale if left else {*stale, REAL}
        evaluation = evaluation[~evaluation["model"].isin(gone)]
    audited = _looked_at(record, "memorisation")
    pairs = sorted((own / "closest_pairs").glob("*.png"))
    return Scores(
        evaluation=evaluation,
        record=record,
        classifier=_read(reports / "classifier" / "scores.csv", SCORES),
        agreement=_rows_of(_read(own / "agreement.csv", AGREEMENT), record, "agreement"),
        utility=_rows_of(_read(own / "utility.csv", UTILITY), record, "utility"),
        power=_read(own / "memorisation_power.csv", POWER),
        distances=_rows_of(_read(own / "distances.csv", DISTANCES), record, "memorisation"),
        closest_pairs={path.stem: path for path in pairs if path.stem in audited},
    )


def names_model(line: str, name: str) -> bool:
    """Whether a line speaks of a model: not of another whose name has the same word in it."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", line) is not None


def read_configs(models: Path) -> dict[str, dict[str, Any]]:
    """Read the `config.json` of each trained model, by the name of its folder.

    Args:
        models: The models' folder (`data/06_models`).

    Raises:
        ValueError: If one is damaged.
    """
    return {path.parent.name: read_json(path) for path in sorted(models.glob("*/config.json"))}


def _trained_anew(record: Mapping[str, Any], digests: Mapping[str, str | None]) -> set[str]:
    models = record.get("models", {})
    return {n for n, own in models.items() if digests.get(n) not in {None, own["weights_sha256"]}}


def _without(record: Mapping[str, Any], stale: set[str]) -> dict[str, Any]:
    """The record as if models had not been looked at, but for a word that they were."""
    missing = [row for row in record["missing"] if row["model"] not in stale]
    missing += [Missing(name, EVERYTHING, OUT_OF_DATE)._asdict() for name in sorted(stale)]
    return {
        **record,
        "models": {name: own for name, own in record["models"].items() if name not in stale},
        "missing": missing,
        "disagreements": [
            line
            for line in record["disagreements"]
            if not any(names_model(line, name) for name in stale)
        ],
    }


def _looked_at(record: Mapping[str, Any], part: str) -> set[str]:
    """The models of which what a part found still holds."""
    models = record.get("models", {})
    return {name for name, own in models.items() if part in own["parts"]}


def _rows_of(
    table: pd.DataFrame | None, record: Mapping[str, Any], part: str
) -> pd.DataFrame | None:
    names = _looked_at(record, part)
    # Real images alone are the floor of nothing.
    return None if table is None or not names else table[table["model"].isin([*names, REAL])]


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    table = read_csv(path)
    lacking = [column for column in columns if column not in table.columns]
    if lacking:
        raise ValueError(
            f"'{path}' lacks the column {lacking[0]}: delete it, and run "
            "`kedro run --pipeline=evaluation`"
        )
    return table
