"""Label files as text, an image a row: NIH's CSV or NIH-CXR-LT's, recognised by their columns."""

import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import pandas as pd

from cxr_pipeline.data.csv_files import Csv, read_csv, read_header
from cxr_pipeline.data.findings import CLASSES, FINDINGS, NO_FINDING, classes_among, finding_name
from cxr_pipeline.data.sources import require_data_folder

logger = logging.getLogger(__name__)

LabelKind = Literal["nih", "cxr_lt"]
LabelSource = Literal["auto"] | LabelKind

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
CXR_LT_COLUMNS = {"id": "image", "subj_id": "patient"}

RENAMED = {"Patient Sex": "Patient Gender"}
"""Columns that NIH calls otherwise in some copies of its corrected file."""

TEXT_COLUMNS = ("image", "patient", "follow_up", "age", "sex", "view", "findings", "split", "cells")

NIH_FILES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
"""NIH's label files, the corrected one first."""

SPLIT_ENDINGS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
"""How the name of a CXR-LT file ends, and the split it holds."""

FLAGS = {"0": False, "0.0": False, "1": True, "1.0": True}
"""What a cell under a finding may say; pandas writes the longer ones."""


@dataclass(frozen=True)
class LabelRows:
    """What label files say, as text, each cell without spaces around it; nothing checked yet."""

    table: pd.DataFrame
    """file, line (of the file, from 1), image, patient, follow_up, age, sex, view, findings
    (`A|B`, in our names where they are known; `A=2` where a cell is neither 0 nor 1), split
    (CXR-LT's own), cells (`4 for 11` where a line has other cells than the header). Blank cells are
    missing."""
    classes: tuple[str, ...]
    """The classes that the files know, in the order of `findings.CLASSES`: NIH's 14 findings, those
    it names besides, and `No Finding`, or those that CXR-LT's files have a column for."""
    beside: pd.DataFrame | None = None
    """The rows of NIH's file beside those of CXR-LT, in the same columns."""


def read_label_rows(raw_dir: str | Path, source: LabelSource = "auto") -> LabelRows:
    """Read the label file or files of a data set.

    NIH-CXR-LT's rows know no age, sex, view or follow-up: where NIH's file lies beside them, its
    rows are read too.

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
        texts = table["findings"].dropna().unique()
        # Images drawn by a model of CXR-LT's further findings come in NIH's columns too.
        named = {name for text in texts for name in text.split("|")}
        return LabelRows(table, tuple(classes_among({*FINDINGS, NO_FINDING, *named})))
    tables = []
    known: dict[str, list[str]] = {}
    for path in files.paths:
        table, known[path.name] = _cxr_lt_rows(path)
        tables.append(table)
    return LabelRows(
        pd.concat(tables, ignore_index=True),
        tuple(_same_classes(known)),
        beside=_nih_rows(files.beside) if files.beside else None,
    )


@dataclass(frozen=True)
class LabelFiles:
    """The label files of a data set."""

    source: LabelKind
    paths: list[Path]
    beside: Path | None = None
    """NIH's file beside those of CXR-LT."""


def find_label_files(raw_dir: str | Path, source: LabelSource = "auto") -> LabelFiles:
    """Find the label files of a data set by their columns; see `read_label_rows`."""
    root = Path(os.path.expanduser(raw_dir))  # Path.expanduser raises on ~nobody
    if root.is_file():
        named = source if source != "auto" else _source_of(read_header(root))
        return LabelFiles(named or "nih", [root])
    require_data_folder(raw_dir)
    nih, cxr_lt, others = _label_files_in(root)
    if source == "auto" and nih and cxr_lt:
        raise ValueError(
            f"raw_dir '{raw_dir}' holds labels of NIH ({nih[0].name}) and of NIH-CXR-LT "
            f"({cxr_lt[0].name}): choose with labels.source=nih or labels.source=cxr_lt"
        )
    if source == "cxr_lt" and not cxr_lt:
        raise ValueError(
            f"raw_dir '{raw_dir}' holds no CSV of NIH-CXR-LT (columns id, subj_id and the "
            "findings): put them there, or set labels.source=nih"
        )
    if source != "nih" and cxr_lt:
        return LabelFiles("cxr_lt", cxr_lt, beside=_one_of(nih, raw_dir) if nih else None)
    # A single other CSV is meant as the label file, surely: reading it will say what it lacks.
    return LabelFiles("nih", [_one_of(nih or others, raw_dir)])


def _label_files_in(root: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """The folder's CSVs: NIH's, CXR-LT's, others. A plain file stands for its `.gz`."""
    plain = sorted(root.glob("*.csv"))
    packed = [path for path in sorted(root.glob("*.csv.gz")) if path.with_suffix("") not in plain]
    found: dict[LabelKind | None, list[Path]] = {"nih": [], "cxr_lt": [], None: []}
    for path in [*plain, *packed]:
        # macOS leaves a ._x.csv, which is no CSV, beside each x.csv that it copies.
        if not path.name.startswith(".") and not path.is_dir():
            found[_source_of(read_header(path))].append(path)
    return found["nih"], found["cxr_lt"], found[None]


def _source_of(header: list[str]) -> LabelKind | None:
    """Tell a label file from other CSVs, such as NIH's BBox_List_2017.csv."""
    if {"Image Index", "Finding Labels"} <= {*header}:
        return "nih"
    if "id" in header and ("subj_id" in header or any(map(finding_name, header))):
        return "cxr_lt"
    return None


def _one_of(paths: list[Path], raw_dir: str | Path) -> Path:
    """NIH's own file, the corrected one first; else the only one."""
    for name in NIH_FILES:
        for path in paths:
            if path.name in (name, f"{name}.gz"):
                return path
    if len(paths) == 1:
        return paths[0]
    names = ", ".join(path.name for path in paths) or "no CSV with labels"
    raise ValueError(
        f"raw_dir '{raw_dir}' holds {names}: put NIH's {NIH_FILES[0]} there (or exactly one CSV "
        "with its columns), or NIH-CXR-LT's"
    )


def _nih_rows(path: Path) -> pd.DataFrame:
    file = read_csv(path)
    rows = _rows(replace(file, header=[RENAMED.get(n, n) for n in file.header]), NIH_COLUMNS)
    # Each distinct text once: NIH's 112,120 rows hold 836 of them.
    texts = {text: _our_names(text) for text in rows["findings"].dropna().unique()}
    return rows.assign(findings=rows["findings"].map(texts).astype("str"))


def _our_names(text: str) -> str:
    """`Pleural Thickening | mass` as `Pleural_Thickening|Mass`; what is unknown stays as it is."""
    parts = (part.strip() for part in text.split("|"))
    return "|".join(finding_name(part) or part for part in parts if part)


def _cxr_lt_rows(path: Path) -> tuple[pd.DataFrame, list[str]]:
    file = read_csv(path)
    rows = _rows(file, CXR_LT_COLUMNS)
    # A column without a name is a trailing comma's, or the row numbers that pandas writes.
    findings = {
        place: _class_named(column, path)
        for place, column in enumerate(file.header)
        if column and column not in CXR_LT_COLUMNS
    }
    classes = classes_among(findings.values())
    _refuse_repeated(findings.values(), path)
    if NO_FINDING not in classes or len(classes) < 2:
        raise ValueError(
            f"label file '{path}' lacks the column {NO_FINDING} or those of all findings: fetch it "
            "anew"
        )

    @cache
    def text_of(cells: tuple[str, ...]) -> str:
        pairs = zip(findings.values(), cells, strict=True)
        # A cell that is neither stands in the text as it is, for the check to find.
        return "|".join(
            name if cell in FLAGS else f"{name}={cell}"
            for name, cell in pairs
            if FLAGS.get(cell, True)
        )

    texts = [text_of(tuple(row[place] for place in findings)) for row in file.rows]
    ending = re.search(r"(?:^|[^a-z])(train|validation|val|test)\.csv(\.gz)?$", path.name.lower())
    split = SPLIT_ENDINGS[ending[1]] if ending else None
    return _as_text(rows.assign(findings=texts, split=split)), classes


def _class_named(column: str, path: Path) -> str:
    name = finding_name(column)
    if name is None:
        raise ValueError(
            f"label file '{path}': unknown finding {column!r} in its header: expected id, "
            f"subj_id and {', '.join(CLASSES)}"
        )
    return name


def _rows(file: Csv, columns: dict[str, str]) -> pd.DataFrame:
    """The file's lines in our columns: those of `columns`, which it must have, all else missing."""
    missing = [name for name in columns if name not in file.header]
    if missing:
        hint = " separated by commas" if ";" in "".join(file.header) else ""
        raise ValueError(
            f"label file '{file.path}' lacks the column(s) {', '.join(missing)}: expected the "
            f"headers {', '.join(columns)}{hint}"
        )
    _refuse_repeated((name for name in file.header if name in columns), file.path)
    if not file.rows:
        raise ValueError(f"label file '{file.path}' lists no image: fetch it anew")
    cells = {ours: file.column(name) for name, ours in columns.items()}
    places = {"file": file.path.name, "line": file.lines, "cells": file.misfits}
    return _as_text(pd.DataFrame(cells | places))


def _refuse_repeated(names: Iterable[str], path: Path) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(
                f"label file '{path}' has the column {name} more than once: keep one of them"
            )
        seen.add(name)


def _as_text(rows: pd.DataFrame) -> pd.DataFrame:
    # A column that no file has is all missing, but text all the same.
    rows = rows.reindex(columns=["file", "line", *TEXT_COLUMNS])
    return rows.astype(dict.fromkeys(TEXT_COLUMNS, "str"))


def _same_classes(known: dict[str, list[str]]) -> list[str]:
    (first, classes), *others = known.items()
    for name, its_classes in others:
        if its_classes != classes:
            differ = sorted({*classes} ^ {*its_classes})
            raise ValueError(
                f"label files '{first}' and '{name}' differ in the findings they know "
                f"({', '.join(differ)}): take both from one release"
            )
    return classes
