"""NIH's label file as one validated table: an image a row, a finding a column."""

import logging
import zlib
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from cxr_pipeline.data.findings import FINDINGS, NO_FINDING
from cxr_pipeline.data.splits import SPLITS

logger = logging.getLogger(__name__)

OLDEST_AGE = 120
"""Years. The file of 2017 holds ages such as 411: no age at all, so they count as missing."""

# NIH's header -> our column. Images' original sizes and pixel spacing are not used.
COLUMNS = {
    "Image Index": "image",
    "Finding Labels": "findings",
    "Follow-up #": "follow_up",
    "Patient ID": "patient",
    "Patient Age": "age",
    "Patient Gender": "sex",
    "View Position": "view",
}

LABEL_FILES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
"""NIH's label files, the corrected one first."""

UNREADABLE = (
    pd.errors.ParserError,
    pd.errors.EmptyDataError,
    UnicodeDecodeError,
    OSError,
    EOFError,  # a .gz cut short
    zlib.error,  # a damaged .gz
)
"""What reading a broken label file raises."""

LABEL_SCHEMA = pa.DataFrameSchema(
    {
        "image": pa.Column(str, pa.Check.str_length(min_value=1), unique=True),
        "patient": pa.Column(str, pa.Check.str_length(min_value=1)),
        "follow_up": pa.Column("Int64", pa.Check.ge(0), nullable=True),
        "age": pa.Column("Int64", pa.Check.in_range(0, OLDEST_AGE), nullable=True),
        "sex": pa.Column(str, pa.Check.isin(["M", "F"]), nullable=True),
        "view": pa.Column(str, pa.Check.isin(["PA", "AP"]), nullable=True),
        **{finding: pa.Column(bool) for finding in (*FINDINGS, NO_FINDING)},
        "split": pa.Column(str, pa.Check.isin(SPLITS)),
    },
    checks=pa.Check(
        lambda table: ~(table[NO_FINDING] & table[list(FINDINGS)].any(axis=1)),
        error="'No Finding' beside a finding",
    ),
    strict=True,
)
"""The label table's columns, types and ranges; the catalog checks it on every save."""


def check_labels(table: pd.DataFrame) -> pd.DataFrame:
    """Check a label table against `LABEL_SCHEMA`; the catalog's validator.

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
        first = "; ".join(
            f"row {case['index']}: {case['column']}={case['failure_case']!r} fails {case['check']}"
            for case in cases.head(3).to_dict("records")
        )
        raise ValueError(
            f"label table: {len(cases)} violations: {first}: correct the CSV"
        ) from error
    return table


def find_label_file(raw_dir: str | Path) -> Path:
    """Find the label file of a data set.

    Args:
        raw_dir: A folder that holds the CSV (plain or `.gz`), or the CSV itself.

    Returns:
        NIH's own file name if it is there, else the folder's only CSV.

    Raises:
        ValueError: If `raw_dir` does not exist, holds no CSV, or holds several of other names.
    """
    root = Path(raw_dir).expanduser()
    if root.is_file():
        return root
    if not root.is_dir():
        raise ValueError(
            f"raw_dir '{raw_dir}' does not exist: give a folder with NIH's label CSV and the "
            "images, e.g. --params=raw_dir=/data/cxr14"
        )
    for name in LABEL_FILES:
        for candidate in (root / name, root / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    others = sorted([*root.glob("*.csv"), *root.glob("*.csv.gz")])
    if len(others) != 1:
        found = ", ".join(path.name for path in others) or "no CSV"
        raise ValueError(
            f"raw_dir '{raw_dir}' holds {found}: put NIH's {LABEL_FILES[0]} there "
            "(or exactly one CSV with its columns)"
        )
    return others[0]


def read_labels(raw_dir: str | Path) -> pd.DataFrame:
    """Read NIH's `Data_Entry_2017*.csv` into the label table (without its `split` column).

    An image without any label (a blank cell, as our own synthetic sets have) keeps all its
    findings false, `No Finding` too. Ages that cannot be are set to missing and counted in the log.

    Args:
        raw_dir: See `find_label_file`.

    Returns:
        An image a row: image, patient, follow_up, age (years), sex, view and one boolean column
        for each of the 14 findings and `No Finding`.

    Raises:
        ValueError: If a needed column is absent, the table is empty, an image is listed twice, or
            a finding is unknown.
    """
    path = find_label_file(raw_dir)
    logger.info("Labels from '%s'", path)
    try:
        # index_col: else pandas takes the first column for row names where only the rows, not the
        # header, end in a comma.
        raw = pd.read_csv(
            path, dtype=str, skipinitialspace=True, encoding="utf-8-sig", index_col=False
        )
    except UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"label file '{path}' is no readable CSV ({reason}): fetch it anew") from (
            error
        )
    missing = [column for column in COLUMNS if column not in raw.columns]
    if missing:
        raise ValueError(
            f"label file '{path}' lacks the column(s) {', '.join(missing)}: expected NIH's headers "
            f"({', '.join(COLUMNS)})"
        )
    if raw.empty:
        raise ValueError(f"label file '{path}' lists no image: fetch it anew")

    table = raw[list(COLUMNS)].rename(columns=COLUMNS)
    _refuse_blank_or_repeated(table, path)
    table = table.assign(
        follow_up=_whole(table["follow_up"]),
        age=_years(table["age"], path),
    )
    flags = _finding_flags(table.pop("findings"), path)
    return pd.concat([table, flags], axis=1)


def findings_text(table: pd.DataFrame) -> "pd.Series[str]":
    """Join each row's findings as NIH writes them: `Cardiomegaly|Emphysema`, or `No Finding`."""
    names = (*FINDINGS, NO_FINDING)
    flags = table[list(names)].to_numpy(dtype=bool)
    texts = ["|".join(name for name, flag in zip(names, row, strict=True) if flag) for row in flags]
    return pd.Series(texts, index=table.index, dtype=str)


def _refuse_blank_or_repeated(table: pd.DataFrame, path: Path) -> None:
    for column in ("image", "patient"):
        blank = table.index[table[column].isna()]
        if len(blank):
            # + 2: the header is line 1 of the file.
            raise ValueError(
                f"label file '{path}' line {blank[0] + 2}: no {column} (and {len(blank) - 1} more "
                "such lines): complete or remove them"
            )
    repeated = table.loc[table["image"].duplicated(), "image"]
    if len(repeated):
        raise ValueError(
            f"label file '{path}' lists image {repeated.iloc[0]!r} more than once "
            f"({len(repeated)} such rows): keep one row an image"
        )


def _whole(texts: "pd.Series[str]") -> "pd.Series[int]":
    """Whole numbers; anything else becomes missing."""
    numbers = pd.to_numeric(texts, errors="coerce").astype("Float64")
    return numbers.where((numbers % 1 == 0) & (numbers.abs() < 2**31)).astype("Int64")


def _years(ages: "pd.Series[str]", path: Path) -> "pd.Series[int]":
    """Ages in whole years, from `58`, `058Y`, `011M` or `023D`; impossible ones become missing."""
    parts = ages.str.extract(r"^\s*(\d+)\s*([YMD]?)\s*$")
    number = pd.to_numeric(parts[0], errors="coerce")
    years = number // parts[1].map({"": 1, "Y": 1, "M": 12, "D": 365}).astype("Float64")
    impossible = ages.notna() & (years.isna() | (years > OLDEST_AGE))
    if impossible.any():
        logger.warning(
            "%s: %d of %d ages are impossible (the first: %r) and count as missing",
            path.name,
            impossible.sum(),
            len(ages),
            ages[impossible].iloc[0],
        )
    return years.mask(impossible).astype("Int64")


def _finding_flags(texts: "pd.Series[str]", path: Path) -> pd.DataFrame:
    """One boolean column a finding from `A|B` texts, each distinct text taken apart once."""
    names = (*FINDINGS, NO_FINDING)
    texts = texts.fillna("")
    rows = {}
    for text in texts.unique():
        present = {part.strip() for part in text.split("|")} - {""}
        unknown = sorted(present - set(names))
        if unknown:
            line = texts.index[texts == text][0] + 2
            raise ValueError(
                f"label file '{path}' line {line}: unknown finding {unknown[0]!r}: "
                f"expected {', '.join(names)}"
            )
        if NO_FINDING in present and len(present) > 1:
            line = texts.index[texts == text][0] + 2
            raise ValueError(
                f"label file '{path}' line {line}: {text!r} has '{NO_FINDING}' beside a finding: "
                "remove one of them"
            )
        rows[text] = [name in present for name in names]
    unlabelled = int((texts.str.strip() == "").sum())
    if unlabelled:
        logger.warning("%s: %d images carry no label", path.name, unlabelled)
    return pd.DataFrame([rows[text] for text in texts], columns=list(names), index=texts.index)
