"""What was measured of which model, and what could not be: the rows of `evaluation.csv`."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import pandas as pd

COLUMNS = ("model", "metric", "value", "low", "high", "n")


OUT_OF_DATE = "out of date, the model was trained anew since: run kedro run --pipeline=evaluation"

EVERYTHING = "everything"
"""In the place of a metric: nothing could be measured of a model."""


COPIES = "memorisation/copies"
"""The share of samples taken for copies: what the release gate looks at."""


class CannotMeasureError(ValueError):
    """A metric cannot be had of these images: a line with the remedy, for `Missing.reason`."""


class Measured(NamedTuple):
    """A number, with the interval that it lies in at 95 %."""

    model: str
    """`real` for what real images held out score against others: the floor."""
    metric: str
    """Such as `fidelity/frechet_distance/classifier`: a group, a name and, of metrics that have
    one, the extractor of features."""
    value: float
    low: float
    high: float
    n: int
    """Images that it is of."""


class Missing(NamedTuple):
    """What could not be measured, and why."""

    model: str
    metric: str
    reason: str
    """A line, with the remedy."""


@dataclass(frozen=True)
class Findings:
    """What a part of the evaluation found."""

    part: str
    """`fidelity`, `memorisation`, `utility` or `agreement`."""
    subjects: dict[str, str]
    """What was looked at: the digest of each model's weights, or of a folder, by name. Findings of
    a model that was trained anew since are out of date."""
    rows: list[Measured] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """How it was measured, in JSON's types."""

    def record(self) -> dict[str, Any]:
        """In JSON's types."""
        return asdict(self) | {
            "rows": [row._asdict() for row in self.rows],
            "missing": [row._asdict() for row in self.missing],
        }


def findings_from(record: Mapping[str, Any]) -> Findings:
    """Read what `Findings.record` wrote."""
    return Findings(
        part=record["part"],
        subjects=dict(record["subjects"]),
        rows=[Measured(**row) for row in record["rows"]],
        missing=[Missing(**row) for row in record["missing"]],
        facts=dict(record["facts"]),
    )


def as_frame(rows: Iterable[Measured]) -> pd.DataFrame:
    """Lay rows out as `evaluation.csv` has them."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS))
