"""Tables as a page shows them: every cell a text, numbers with commas and few digits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxr_pipeline.data.class_counts import VIEWS
from cxr_pipeline.data.splits import SPLITS
from cxr_pipeline.evaluation.kept_files import read_csv


@dataclass(frozen=True)
class Table:
    """What a page shows of a table."""

    columns: Sequence[str]
    numeric: Sequence[bool]
    """Whether each column holds numbers, which are set to the right."""
    rows: Sequence[Sequence[str]]
    above: Sequence[tuple[str, int]] = field(default=())
    """Headings above the columns, and how many columns each spans."""


def read_table(path: Path) -> Table | None:
    """Read a CSV file for a page; None where there is none."""
    return as_table(read_csv(path)) if path.is_file() else None


def read_split_table(path: Path) -> Table | None:
    """Read the counts by split and view, with the splits once above their four columns."""
    table = read_table(path)
    if table is None:
        return None
    parts = ("in all", *SPLITS)
    return replace(
        table,
        columns=["finding", "group", *(["all", *VIEWS] * len(parts))],
        above=[("", 2), *((part, 1 + len(VIEWS)) for part in parts)],
    )


def parted(table: Table, columns: int) -> tuple[Table, Table]:
    """Part a wide table in two, after that many columns; both begin with the first."""
    parts = []
    for kept in ([*range(columns)], [0, *range(columns, len(table.columns))]):
        own = [[cells[place] for place in kept] for cells in (table.columns, *table.rows)]
        parts.append(Table(own[0], [table.numeric[place] for place in kept], own[1:]))
    return parts[0], parts[1]


def as_table(frame: pd.DataFrame) -> Table:
    """Turn a data frame into texts."""
    frame = frame.convert_dtypes()
    rows = [[written(cell) for cell in row] for row in frame.itertuples(index=False)]
    numeric = [
        pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        for dtype in frame.dtypes
    ]
    names = [str(name).replace("_", " ").replace("/", ": ") for name in frame.columns]
    return Table(names, numeric, rows)


def written(cell: Any) -> str:
    """Write a number, a truth or a text for a page; nothing where there is none.

    Four digits say enough of what was measured; what was counted is written out.
    """
    if pd.isna(cell):
        return ""
    if isinstance(cell, bool | np.bool_):
        return "yes" if cell else "no"
    if isinstance(cell, Real):
        number = float(cell)
        whole = isinstance(cell, Integral) or abs(number) >= 1000
        return f"{number:,.0f}" if whole else f"{number:.4g}"
    return str(cell)


def power_table(power: pd.DataFrame) -> Table:
    """Lay the audit's power out: a row a change, a column a space with the share that was found.

    Args:
        power: `evaluation/memorisation_power.csv`.
    """
    spaces = list(dict.fromkeys(power["space"]))
    found = {(row["change"], row["space"]): row for row in power.to_dict("records")}
    rows = []
    for change in dict.fromkeys(power["change"]):
        own = [found.get((change, space)) for space in spaces]
        planted = next(row["planted"] for row in own if row is not None)
        rows.append([str(change), f"{planted:,}", *(_share(row) for row in own)])
    return Table(["change", "images", *spaces], [False, *[True] * (1 + len(spaces))], rows)


def _share(row: Mapping[Any, Any] | None) -> str:
    return "" if row is None else f"{row['share']:.0%} [{row['low']:.0%}, {row['high']:.0%}]"
