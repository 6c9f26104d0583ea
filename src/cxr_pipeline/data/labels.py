"""The label table: an image a row, a class a column; the same from every kind of label file."""

import logging
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from cxr_pipeline.data.findings import CLASSES, NO_FINDING, classes_among
from cxr_pipeline.data.label_checks import check_label_rows
from cxr_pipeline.data.label_files import LabelRows, LabelSource, read_label_rows
from cxr_pipeline.data.splits import SPLITS

logger = logging.getLogger(__name__)

OLDEST_AGE = 120
"""Years. The file of 2017 holds ages such as 411: no age at all, so they count as missing."""


def _exclusive(table: pd.DataFrame) -> "pd.Series[bool]":
    flags = table.reindex(columns=list(CLASSES), fill_value=False).astype(bool)
    return ~(flags[NO_FINDING] & flags.drop(columns=NO_FINDING).any(axis=1))


LABEL_SCHEMA = pa.DataFrameSchema(
    {
        "image": pa.Column(str, pa.Check.str_length(min_value=1), unique=True),
        "patient": pa.Column(str, pa.Check.str_length(min_value=1)),
        "follow_up": pa.Column("Int64", pa.Check.ge(0), nullable=True),
        "age": pa.Column("Int64", pa.Check.in_range(0, OLDEST_AGE), nullable=True),
        "sex": pa.Column(str, pa.Check.isin(["M", "F"]), nullable=True),
        "view": pa.Column(str, pa.Check.isin(["PA", "AP"]), nullable=True),
        # NIH's labels lack the five findings that CXR-LT adds.
        **{name: pa.Column(bool, required=False) for name in CLASSES},
        "split": pa.Column(str, pa.Check.isin(SPLITS)),
    },
    checks=[
        pa.Check(
            lambda table: NO_FINDING in table.columns and len(classes_among(table.columns)) > 1,
            error="classes are missing",
        ),
        pa.Check(_exclusive, error=f"'{NO_FINDING}' beside a finding"),
    ],
    strict=True,
)
"""The label table's columns, types and ranges; the catalog checks it on every save."""


def check_labels(table: pd.DataFrame) -> pd.DataFrame:
    """Check a label table against `LABEL_SCHEMA`; the catalog's validator.

    What a label file gets wrong has been found before, with its line (`label_checks`): this guards
    tables made in other ways.

    Raises:
        ValueError: If the table breaks the schema: how often, and the first rows that do.
    """
    try:
        LABEL_SCHEMA.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        # A check of whole rows is reported once a column: once a row is enough.
        of_rows = cases["schema_context"].eq("DataFrameSchema") & cases["index"].notna()
        cases = cases[~(of_rows & cases.duplicated(["index", "check"]))]
        first = "; ".join(map(_described, cases.head(3).to_dict("records")))
        raise ValueError(
            f"label table: {len(cases)} violations: {first}: correct the CSV"
        ) from error
    return table


def _described(case: dict[Hashable, Any]) -> str:
    row = "" if pd.isna(case["index"]) else f"row {case['index']}: "
    column = "" if pd.isna(case["column"]) else f"{case['column']}="
    return f"{row}{column}{case['failure_case']!r} fails {case['check']}"


def read_labels(raw_dir: str | Path, source: LabelSource = "auto") -> pd.DataFrame:
    """Read, check and type the labels of a data set; see `read_label_rows` and `label_table`.

    Raises:
        ValueError: As `read_label_rows` and `check_label_rows` do.
    """
    return label_table(check_label_rows(read_label_rows(raw_dir, source)))


def label_table(rows: LabelRows) -> pd.DataFrame:
    """Give checked label rows their types.

    An image without any label (a blank cell, as our own synthetic sets have) keeps all its classes
    false, `No Finding` too. Ages that cannot be are set to missing and counted in the log. Where
    NIH's file lies beside those of CXR-LT, age, sex, view and follow-up are NIH's.

    Args:
        rows: Rows that passed `check_label_rows`.

    Returns:
        An image a row: image, follow_up, patient, age (whole years), sex, view, one boolean column
        for each class that the label file knows and, where the file says it, split.
    """
    text = rows.table if rows.beside is None else _with_metadata(rows.table, rows.beside)
    unlabelled = int(text["findings"].fillna("").eq("").sum())
    if unlabelled:
        logger.warning("%d of %d images carry no label", unlabelled, len(text))
    table = text[["image"]].assign(
        follow_up=_whole(text["follow_up"]),
        patient=_patients(text["patient"]),
        age=_years(text["age"]),
        sex=text["sex"],
        view=text["view"],
    )
    flags = _class_flags(text["findings"], rows.classes)
    split = text[["split"]] if text["split"].notna().any() else None
    return pd.concat([table, flags, split], axis=1)


def findings_text(table: pd.DataFrame) -> "pd.Series[str]":
    """Join each row's classes as NIH writes them: `Cardiomegaly|Emphysema`, or `No Finding`."""
    names = classes_among(table.columns)
    flags = table[names].to_numpy(dtype=bool)
    # Each distinct row once; its flags are the digits of one number.
    codes, distinct = pd.factorize(flags @ (1 << np.arange(len(names))))
    texts = ["|".join(name for n, name in enumerate(names) if key >> n & 1) for key in distinct]
    return pd.Series(np.array(texts, dtype=object)[codes], index=table.index, dtype=str)


def _with_metadata(text: pd.DataFrame, nih: pd.DataFrame) -> pd.DataFrame:
    """Take age, sex, view and follow-up from NIH's rows, by image."""
    columns = ["follow_up", "age", "sex", "view"]
    absent = ~text["image"].isin(nih["image"])
    if absent.any():
        logger.warning(
            "%d of %d images (the first: %r) are not in '%s': their age, sex and view are unknown",
            absent.sum(),
            len(text),
            text.loc[absent, "image"].iloc[0],
            nih["file"].iloc[0],
        )
    return text.drop(columns=columns).join(nih.set_index("image")[columns], on="image")


def _patients(texts: "pd.Series[str]") -> "pd.Series[str]":
    """One spelling a patient: CXR-LT's `00000013` and pandas' `13.0` are NIH's `13`."""
    return texts.str.replace(r"^0*([0-9]+)(\.0*)?$", r"\1", regex=True)


def _whole(texts: "pd.Series[str]") -> "pd.Series[int]":
    return pd.to_numeric(texts).astype("Float64").astype("Int64")


def _years(ages: "pd.Series[str]") -> "pd.Series[int]":
    """Ages in whole years, from `58`, `058Y`, `011M` or `023D`; impossible ones become missing."""
    units = ages.str[-1].map({"M": 12, "D": 365}).fillna(1)
    years = pd.to_numeric(ages.str.rstrip("YMD")).astype("Float64") // units
    impossible = years > OLDEST_AGE
    if impossible.any():
        logger.warning(
            "%d of %d ages are impossible (the first: %r) and count as missing",
            impossible.sum(),
            len(ages),
            ages[impossible.fillna(False)].iloc[0],
        )
    return years.mask(impossible).astype("Int64")


def _class_flags(texts: "pd.Series[str]", classes: tuple[str, ...]) -> pd.DataFrame:
    """One boolean column a class from `A|B` texts, each distinct text taken apart once."""
    codes, distinct = pd.factorize(texts.fillna(""))
    flags = [[name in text.split("|") for name in classes] for text in distinct]
    return pd.DataFrame(
        pd.DataFrame(flags, columns=list(classes)).to_numpy()[codes],
        columns=list(classes),
        index=texts.index,
    )
