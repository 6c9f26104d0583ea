"""CSV files as text: cells without spaces around them, rows with their line in the file."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

UNREADABLE = (
    csv.Error,
    UnicodeDecodeError,
    OSError,
    EOFError,  # a .gz cut short
    zlib.error,  # a damaged .gz
)
"""What reading a broken file raises."""


@dataclass(frozen=True)
class Csv:
    """A CSV file. Blank lines are left out, but counted."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    """Each as long as the header: what lacks is blank."""
    lines: list[int]
    """The line of the file, from 1, that each row begins on."""
    misfits: list[str | None]
    """Of each row with fewer cells than the header, or something beyond it, the two numbers."""

    def column(self, name: str) -> list[str | None]:
        """The cells of the first column of that name; blank ones are None."""
        place = self.header.index(name)
        return [row[place] or None for row in self.rows]


def read_csv(path: Path) -> Csv:
    """Read a CSV file, plain or `.gz`, in UTF-8.

    Raises:
        ValueError: If the file is damaged, no CSV, or blank.
    """
    rows = _rows(path)
    header = _first(rows, path)
    named = max(place for place, name in enumerate(header, start=1) if name)
    lines, cells, misfits = [], [], []
    for line, row in rows:
        fits = named <= len(row) and not any(row[len(header) :])
        misfits.append(None if fits else f"{len(row)} for {len(header)}")
        lines.append(line)
        cells.append(row[: len(header)] + [""] * (len(header) - len(row)))
    return Csv(path, header, cells, lines, misfits)


def read_header(path: Path) -> list[str]:
    """Read the first line of a CSV file that is not blank; see `read_csv`."""
    return _first(_rows(path), path)


def _first(rows: Iterator[tuple[int, list[str]]], path: Path) -> list[str]:
    for _, header in rows:
        return header
    raise _unreadable(path, "it is blank")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line that each row begins on, and its cells."""
    unpacked = gzip.open if path.suffix == ".gz" else open
    try:
        with unpacked(path, "rt", encoding="utf-8-sig", newline="") as file:
            # strict: else a quote that nobody closes swallows the rest of the file in silence.
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            line = 1
            for row in reader:
                cells = list(map(str.strip, row))
                if any(cells):
                    yield line, cells
                line = reader.line_num + 1
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, csv.Error):
            reason = f"line {line}: {reason}"
        raise _unreadable(path, reason) from error


def _unreadable(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"'{path}' is no readable CSV ({reason}): fetch it anew, save it as CSV in UTF-8, or move "
        "it out of the folder"
    )
