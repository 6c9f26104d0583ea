"""Choosing images by what their labels say."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Selection:
    """Which images to take. Empty and None leave a matter open; an image must meet every other.

    An image whose view, sex or age is unknown is left out where that matter is asked of it.
    """

    findings: tuple[str, ...] = ()
    """Images with at least one of these (`No Finding` is one)."""
    views: tuple[str, ...] = ()
    """PA, AP."""
    sexes: tuple[str, ...] = ()
    """M, F."""
    youngest: int | None = None
    """Years."""
    oldest: int | None = None
    """Years."""
    one_image_a_patient: bool = False
    """Of what is left of a patient, the first image in the label file's order."""

    def __str__(self) -> str:
        """Name what is asked, such as `findings=No Finding, views=PA`; empty if nothing is."""
        asked = []
        for field in fields(self):
            value = getattr(self, field.name)
            # By identity: the age 0 equals False, but asks for something.
            if value != () and value is not None and value is not False:
                text = "|".join(value) if isinstance(value, tuple) else str(value)
                asked.append(f"{field.name}={text}")
        return ", ".join(asked)


EVERYTHING = Selection()


def selection_from(record: Mapping[str, Any]) -> Selection:
    """Rebuild a selection from what JSON makes of it."""
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in record.items()
    }
    return Selection(**values)


def select(index: pd.DataFrame, selection: Selection) -> "pd.Series[bool]":
    """Tell which rows a selection takes.

    Args:
        index: patient, age, sex, view, findings (`A|B`), an image a row.
        selection: What to take.

    Returns:
        True for the rows taken, on the same index.
    """
    chosen = pd.Series(data=True, index=index.index)
    if selection.findings:
        wanted = set(selection.findings)
        distinct = {text: bool(wanted & {*text.split("|")}) for text in index["findings"].unique()}
        chosen &= index["findings"].map(distinct).astype(bool)
    for column, values in (("view", selection.views), ("sex", selection.sexes)):
        if values:
            chosen &= index[column].isin(values)
    if selection.youngest is not None:
        chosen &= (index["age"] >= selection.youngest).fillna(value=False).astype(bool)
    if selection.oldest is not None:
        chosen &= (index["age"] <= selection.oldest).fillna(value=False).astype(bool)
    if selection.one_image_a_patient:
        chosen &= ~index["patient"].where(chosen).duplicated()
    return chosen
