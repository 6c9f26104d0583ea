"""What a label file may say: every violation is found, with its line."""

from collections.abc import Callable

import pandas as pd
import pandera.pandas as pa

from cxr_pipeline.data.findings import CLASSES, NO_FINDING
from cxr_pipeline.data.label_files import LabelRows

SHOWN = 5
"""Violations that an error message spells out; the rest is counted."""

VIOLATION_COLUMNS = ["file", "line", "column", "value", "problem"]

CONTROL = r"\x00-\x1f\x7f"
"""Line breaks and other characters without a face, in a regular expression's brackets."""


def _known(texts: "pd.Series[str]") -> "pd.Series[bool]":
    return _of_distinct(texts, lambda parts: {*map(_without_flag, parts)} <= {*CLASSES, ""})


def _zero_or_one(texts: "pd.Series[str]") -> "pd.Series[bool]":
    return _of_distinct(texts, lambda parts: {*map(_without_flag, parts)} == parts)


def _exclusive(texts: "pd.Series[str]") -> "pd.Series[bool]":
    return _of_distinct(texts, lambda parts: NO_FINDING not in parts or len(parts) == 1)


def _of_distinct(texts: "pd.Series[str]", holds: Callable[[set[str]], bool]) -> "pd.Series[bool]":
    answers = {text: holds({*text.split("|")}) for text in texts.unique()}
    return texts.map(answers).astype(bool)


def _without_flag(part: str) -> str:
    """`Mass` of `Mass=2`, which stands for a cell that is neither 0 nor 1."""
    name = part.split("=", maxsplit=1)[0]
    return name if name in CLASSES else part


def _like(pattern: str, problem: str) -> pa.Check:
    return pa.Check.str_matches(rf"^(?:{pattern})$", error=problem)


# Texts as they stand in the file; blank cells are missing. Each problem completes "value ...".
ROW_SCHEMA = pa.DataFrameSchema(
    {
        "cells": pa.Column(
            str,
            pa.Check(lambda texts: texts.isna(), error="do not match the header's"),
            nullable=True,
        ),
        "image": pa.Column(
            str, _like(rf"[^./\\{CONTROL}][^/\\{CONTROL}]*", "is no file name"), unique=True
        ),
        "patient": pa.Column(str, _like(rf"[^{CONTROL}]+", "holds a line break or the like")),
        "follow_up": pa.Column(
            str, _like(r"[0-9]{1,9}(\.0*)?", "is no whole number from 0"), nullable=True
        ),
        "age": pa.Column(
            str,
            _like(r"[0-9]{1,9}(\.[0-9]*)?[YMD]?", "is no age such as 58, 058Y, 011M or 023D"),
            nullable=True,
        ),
        "sex": pa.Column(str, pa.Check.isin(["M", "F"], error="is not M or F"), nullable=True),
        "view": pa.Column(str, pa.Check.isin(["PA", "AP"], error="is not PA or AP"), nullable=True),
        "findings": pa.Column(
            str,
            [
                pa.Check(_known, error="holds an unknown finding"),
                pa.Check(_zero_or_one, error="comes from a cell that is not 0 or 1"),
                pa.Check(_exclusive, error=f"has '{NO_FINDING}' beside a finding"),
            ],
            nullable=True,
        ),
    }
)


def check_label_rows(rows: LabelRows) -> LabelRows:
    """Return the rows if they hold no violation.

    Raises:
        ValueError: If they do: how many, and the first ones with file, line and value.
    """
    violations = find_violations(rows)
    if len(violations):
        raise ValueError(describe_violations(violations))
    return rows


def find_violations(rows: LabelRows) -> pd.DataFrame:
    """List everything that label rows must not say.

    Returns:
        file, line, column, value, problem: a violation a row, in the order of the files' lines.
    """
    tables = [rows.table] if rows.beside is None else [rows.table, rows.beside]
    violations = pd.concat([_violations_of(table) for table in tables], ignore_index=True)
    return violations.sort_values(["file", "line"], kind="stable", ignore_index=True)


def _violations_of(table: pd.DataFrame) -> pd.DataFrame:
    try:
        ROW_SCHEMA.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        problems = cases["check"].replace(
            {"not_nullable": "is missing", "field_uniqueness": "is listed more than once"}
        )
        places = table.loc[cases["index"].astype(int), ["file", "line"]].reset_index(drop=True)
        violations: pd.DataFrame = places.assign(
            column=cases["column"].to_numpy(),
            value=cases["failure_case"].to_numpy(),
            problem=problems.to_numpy(),
        )
        return violations
    return pd.DataFrame(columns=VIOLATION_COLUMNS)


def describe_violations(violations: pd.DataFrame) -> str:
    """Say in one line what is wrong with the labels, the first violations in full."""
    first = "; ".join(
        f"{case.file} line {case.line}: {case.column}{_shown(case.value)} {case.problem}"
        for case in violations.head(SHOWN).itertuples()
    )
    count, more = len(violations), len(violations) - SHOWN
    return (
        f"{count} violation{'s'[: count > 1]} in the labels: {first}"
        f"{f'; and {more} more' if more > 0 else ''}: correct the CSV"
    )


def _shown(value: object) -> str:
    return f" {value!r}" if isinstance(value, str) else ""
