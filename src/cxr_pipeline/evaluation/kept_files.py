"""Reading what earlier runs left, with the file's name where it is damaged."""

import json
from pathlib import Path
from typing import Any

import pandas as pd


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table.

    Raises:
        ValueError: If it is none.
    """
    try:
        return pd.read_csv(path)
    except ValueError as error:  # what is no text, no table, or empty
        raise _damaged(path, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: If it is none.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise _damaged(path, error) from error
    return content


def _damaged(path: Path, error: ValueError) -> ValueError:
    said = " ".join(str(error).split())
    return ValueError(f"'{path}' is damaged ({said}): delete it, or make it again by its pipeline")
