"""Label files as text, an image a row: NIH's CSV or NIH-CXR-LT's, recognised by their columns."""

import logging
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from cxr_pipeline.data.findings import CLASSES, FINDINGS, NO_FINDING, classes_among, finding_name

logger = logging.getLogger(__name__)

Source = Literal["nih", "cxr_lt"]

# NIH's header -> our column. Images' original sizes and pixel spacing are not used.
NIH_COLUMNS = {
    "Image Index": "image",
    "Finding Labels": "findings",
    "Follow-up #": "follow_up",
    "Patient ID": "patient",
    "Patient Age": "age",
    "Patient Gender": "sex",
    "View Position": "view",
}
# What NIH's file calls a column now -> what it, and copies of it, called the column before.
RENAMED = {"Patient Sex": "Patient Gender"}
CXR_LT_COLUMNS = {"id": "image", "subj_id": "patient"}

# What tells a label file from other CSVs, such as NIH's BBox_List_2017.csv.
MARKS: dict[Source, set[str]] = {"nih": {"Image Index", "Finding Labels"}, "cxr_lt": {"id"}}

TEXT_COLUMNS = ("image", "patient", "follow_up", "age", "sex", "view", "findings", "split")

NIH_FILES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
"""NIH's label files, the corrected one first."""

SPLIT_ENDINGS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
"""How the name of a CXR-LT file ends, and the split it holds."""

CELL_END = "\x1f"  # ASCII's unit separator, which no cell holds

UNREADABLE = (
    pd.errors.ParserError,
    pd.errors.EmptyDataError,
    UnicodeDecodeError,
    OSError,
    EOFError,  # a .gz cut short
    zlib.error,  # a damaged .gz
)
"""What reading a broken label file raises."""


@dataclass(frozen=True)
class LabelRows:
    """What label files say, as text, each cell without spaces around it; nothing checked yet."""

    table: pd.DataFrame
    """file, line (of the file, from 1), image, patient, follow_up, age, sex, view, findings
    (`A|B`, in our names where they are known), split (CXR-LT's own). Blank cells are missing."""
    classes: tuple[str, ...]
    """The classes that the files know, in the order of `findings.CLASSES`."""


def read_label_rows(raw_dir: str | Path, source: Literal["auto"] | Source = "auto") -> LabelRows:
    """Read the label file or files of a data set.

    NIH-CXR-LT's rows know no age, sex, view or follow-up: where NIH's file lies beside them, its
    own are taken.

    Args:
        raw_dir: A folder that holds the CSV or CSVs (plain or `.gz`), or one CSV itself.
        source: Which labels to read where the folder holds both NIH's and NIH-CXR-LT's.

    Raises:
        ValueError: If `raw_dir` does not exist, holds no label file or several that exclude one
            another, or a file is no CSV, lacks a column, or lists no image.
    """
    files = find_label_files(raw_dir, source)
    logger.info("Labels from %s", ", ".join(f"'{path}'" for path in files.paths))
    if files.source == "nih":
        table = _nih_rows(files.paths[0])
        classes = [*FINDINGS, NO_FINDING]
    else:
        read = {path: _cxr_lt_rows(path) for path in files.paths}
        table = pd.concat([rows for rows, _ in read.values()], ignore_index=True)
        classes = _same_classes({path: known for path, (_, known) in read.items()})
    if files.beside:
        table = _with_metadata(table, _nih_rows(files.beside))
    # A column that no file has is all missing, but text all the same.
    table = table.reset_index(drop=True).reindex(columns=["file", "line", *TEXT_COLUMNS])
    return LabelRows(table.astype(dict.fromkeys(TEXT_COLUMNS, "str")), tuple(classes))


@dataclass(frozen=True)
class LabelFiles:
    """The label files of a data set."""

    source: Source
    paths: list[Path]
    beside: Path | None = None
    """NIH's file beside those of CXR-LT."""


def find_label_files(raw_dir: str | Path, source: Literal["auto"] | Source = "auto") -> LabelFiles:
    """Find the label files of a data set by their columns; see `read_label_rows`."""
    root = Path(raw_dir).expanduser()
    if root.is_file():
        return LabelFiles(_source_of(_header(root)) or "nih", [root])
    if not root.is_dir():
        raise ValueError(
            f"raw_dir '{raw_dir}' does not exist: give a folder with the label CSV and the "
            "images, e.g. --params=raw_dir=/data/cxr14"
        )
    found = _label_files_in(root)
    nih, cxr_lt = found["nih"], found["cxr_lt"]
    if source == "auto" and nih and cxr_lt:
        raise ValueError(
            f"raw_dir '{raw_dir}' holds labels of NIH ({nih[0].name}) and of NIH-CXR-LT "
            f"({cxr_lt[0].name}): choose with labels.source=nih or labels.source=cxr_lt"
        )
    if (source == "auto" and cxr_lt) or source == "cxr_lt":
        if not cxr_lt:
            raise ValueError(
                f"raw_dir '{raw_dir}' holds no CSV of NIH-CXR-LT (columns id, subj_id and the "
                "findings): put them there, or set labels.source=nih"
            )
        return LabelFiles("cxr_lt", cxr_lt, beside=_preferred(nih))
    preferred = _preferred(nih)
    if not preferred:
        names = ", ".join(path.name for path in nih) or "no CSV with labels"
        raise ValueError(
            f"raw_dir '{raw_dir}' holds {names}: put NIH's {NIH_FILES[0]} there (or exactly one "
            "CSV with its columns), or NIH-CXR-LT's"
        )
    return LabelFiles("nih", [preferred])


def _label_files_in(root: Path) -> dict[Source, list[Path]]:
    """The folder's label files by kind; a plain file stands for its `.gz`."""
    found: dict[Source, list[Path]] = {"nih": [], "cxr_lt": []}
    others = []
    plain = sorted(root.glob("*.csv"))
    packed = [path for path in sorted(root.glob("*.csv.gz")) if path.with_suffix("") not in plain]
    for path in [*plain, *packed]:
        source = _source_of(_header(path))
        if source:
            found[source].append(path)
        else:
            others.append(path)
    if not any(found.values()) and len(others) == 1:
        # Meant as the label file, surely: reading it will say what it lacks.
        found["nih"] = others
    return found


def _preferred(paths: list[Path]) -> Path | None:
    """NIH's own file, the corrected one first; else the only one."""
    for name in NIH_FILES:
        for path in paths:
            if path.name in (name, f"{name}.gz"):
                return path
    return paths[0] if len(paths) == 1 else None


def _header(path: Path) -> list[str]:
    return [str(column) for column in _read_csv(path, rows=0).columns]


def _source_of(header: list[str]) -> Source | None:
    return next((source for source, marks in MARKS.items() if marks <= set(header)), None)


def _read_csv(path: Path, rows: int | None = None) -> pd.DataFrame:
    try:
        # index_col: else pandas takes the first column for row names where only the rows, not the
        # header, end in a comma. Blank lines are kept until the lines are numbered.
        table = pd.read_csv(
            path,
            dtype=str,
            encoding="utf-8-sig",
            index_col=False,
            skip_blank_lines=False,
            nrows=rows,
        )
    except UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"label file '{path}' is no readable CSV ({reason}): fetch it anew") from (
            error
        )
    table = table.rename(columns=lambda column: str(column).strip())
    return table.rename(columns={new: old for new, old in RENAMED.items() if old not in table})


def _text_rows(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """The file's lines with our names for `columns`, which it must have; other columns stay."""
    raw = _read_csv(path)
    missing = [column for column in columns if column not in raw.columns]
    if missing:
        raise ValueError(
            f"label file '{path}' lacks the column(s) {', '.join(missing)}: expected the headers "
            f"{', '.join(columns)}"
        )
    raw = raw.rename(columns=columns)
    for column in columns.values():
        raw[column] = raw[column].str.strip().replace("", None)
    # + 2: the header is line 1 of the file.
    raw = raw.dropna(how="all").pipe(lambda rows: rows.assign(line=rows.index + 2, file=path.name))
    if raw.empty:
        raise ValueError(f"label file '{path}' lists no image: fetch it anew")
    return raw


def _nih_rows(path: Path) -> pd.DataFrame:
    rows = _text_rows(path, NIH_COLUMNS)
    return rows.assign(findings=_each_once(rows["findings"], _our_names))


def _our_names(text: str) -> str:
    """`Pleural Thickening | mass` as `Pleural_Thickening|Mass`; what is unknown stays as it is."""
    parts = (part.strip() for part in text.split("|"))
    return "|".join(finding_name(part) or part for part in parts if part)


def _each_once(texts: "pd.Series[str]", change: Callable[[str], str]) -> "pd.Series[str]":
    """Change each distinct text once: NIH's 112,120 rows hold 836 of them."""
    return texts.map({text: change(text) for text in texts.dropna().unique()})


def _cxr_lt_rows(path: Path) -> tuple[pd.DataFrame, list[str]]:
    raw = _text_rows(path, CXR_LT_COLUMNS)
    flags = raw.drop(columns=["image", "patient", "line", "file"])
    names = {column: finding_name(column) for column in flags.columns}
    unknown = [column for column, name in names.items() if name is None]
    if unknown:
        raise ValueError(
            f"label file '{path}': unknown finding {unknown[0]!r} in its header: expected id, "
            f"subj_id and {', '.join(CLASSES)}"
        )
    classes = classes_among(str(name) for name in names.values())
    if NO_FINDING not in classes or len(classes) < 2:
        raise ValueError(
            f"label file '{path}' lacks the column(s) {NO_FINDING} or all findings: fetch it anew"
        )
    # Zeros and ones as one text a row, so that each distinct row is taken apart once.
    cells = flags.fillna("").apply(lambda column: column.str.strip())
    keys = cells.iloc[:, 0].str.cat(cells.iloc[:, 1:], sep=CELL_END)
    ordered = [str(name) for name in names.values()]

    def text_of(key: str) -> str:
        pairs = zip(ordered, key.split(CELL_END), strict=True)
        # A cell that is neither stands in the text as it is, for the check to find.
        return "|".join(
            name if cell in ("1", "1.0") else f"{name}={cell}"
            for name, cell in pairs
            if cell not in ("0", "0.0")
        )

    ending = re.search(r"(train|validation|val|test)\.csv(\.gz)?$", path.name.lower())
    split = SPLIT_ENDINGS[ending[1]] if ending else None
    rows = raw[["file", "line", "image", "patient"]]
    return rows.assign(findings=_each_once(keys, text_of), split=split), classes


def _same_classes(known: dict[Path, list[str]]) -> list[str]:
    (first, classes), *others = known.items()
    for path, its_classes in others:
        if its_classes != classes:
            differ = sorted({*classes} ^ {*its_classes})
            raise ValueError(
                f"label files '{first.name}' and '{path.name}' differ in the findings they know "
                f"({', '.join(differ)}): take both from one release"
            )
    return classes


def _with_metadata(table: pd.DataFrame, nih: pd.DataFrame) -> pd.DataFrame:
    """Take age, sex, view and follow-up from NIH's rows, by image."""
    columns = ["follow_up", "age", "sex", "view"]
    metadata = nih.drop_duplicates("image").set_index("image")[columns]
    return table.join(metadata, on="image")
