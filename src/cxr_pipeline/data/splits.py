"""Which patients train a model and which are held out."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pandas as pd

from cxr_pipeline.data.sources import data_folder

SPLITS = ("train", "validation", "test")

SplitSource = Literal["auto", "patient", "nih", "cxr_lt"]

NIH_LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
"""NIH's official lists, an image name a line."""


def assign_splits(
    labels: pd.DataFrame,
    raw_dir: str | Path,
    *,
    source: SplitSource,
    validation: float,
    test: float,
    seed: int,
) -> pd.DataFrame:
    """Give every image of a label table its split, one a patient.

    Args:
        labels: The label table; its `split` column, where it has one, is CXR-LT's own.
        raw_dir: The folder with NIH's lists, or a label file in it.
        source: `patient`: by a hash of seed and patient; `nih`: NIH's two lists, of whose training
            patients the share `validation` is held out by that hash; `cxr_lt`: the labels' own;
            `auto`: the labels' own where they have one, else by patient.
        validation: Share of patients in `validation`, in [0, 1).
        test: Share of patients in `test`, in [0, 1); only by patient.
        seed: Another seed, another partition.

    Returns:
        The table with its `split` column, last.

    Raises:
        ValueError: If a list is absent or incomplete, the labels have no split of their own, or a
            patient is in two splits.
    """
    if source == "nih":
        split = _nih_splits(labels, raw_dir, validation=validation, seed=seed)
    elif source == "cxr_lt" or (source == "auto" and "split" in labels.columns):
        split = _own_splits(labels, source)
    else:
        split = split_by_patient(labels["patient"], validation=validation, test=test, seed=seed)
    labels = labels.drop(columns="split", errors="ignore").assign(split=split)
    _refuse_patients_in_two_splits(labels)
    return labels


def split_by_patient(
    patients: "pd.Series[str]", *, validation: float, test: float, seed: int
) -> "pd.Series[str]":
    """Give every patient a split, from a hash of the seed and the patient alone.

    All images of a patient fall in one split, and adding or removing patients moves nobody.

    Args:
        patients: Patient identifiers, one an image.
        validation: Expected share of patients in `validation`, in [0, 1).
        test: Expected share of patients in `test`, in [0, 1).
        seed: Another seed, another partition.

    Returns:
        `train`, `validation` or `test` for each row of `patients`, on the same index.

    Raises:
        ValueError: If the two shares leave no patient to train on.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError(
            f"validation={validation} and test={test} leave no patient to train on: "
            "choose shares of at least 0 that add up to less than 1"
        )

    def split_of(patient: str) -> str:
        digest = hashlib.blake2b(f"{seed}/{patient}".encode(), digest_size=8).digest()
        position = int.from_bytes(digest, "big") / 2**64
        if position < test:
            return "test"
        return "validation" if position < test + validation else "train"

    return _of_each(patients, split_of).rename("split")


def _of_each(values: "pd.Series[str]", give: Callable[[str], str]) -> "pd.Series[str]":
    return values.map({value: give(value) for value in values.unique()})


def _own_splits(labels: pd.DataFrame, source: SplitSource) -> "pd.Series[str]":
    split: pd.Series[str] = labels.reindex(columns=["split"])["split"]
    unknown = labels.loc[split.isna(), "image"]
    if len(unknown):
        raise ValueError(
            f"labels.splits={source}: the labels do not say the split of image "
            f"{unknown.iloc[0]!r}: NIH-CXR-LT's files end in _train.csv, _val.csv and _test.csv; "
            "name them so, or set labels.splits=patient"
        )
    return split


def _nih_splits(
    labels: pd.DataFrame, raw_dir: str | Path, *, validation: float, seed: int
) -> "pd.Series[str]":
    root = data_folder(raw_dir)
    listed: dict[str, str] = {}
    for name, split in NIH_LISTS.items():
        path = root / name
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"labels.splits=nih: '{path}' is not to be read ({type(error).__name__}): put "
                f"NIH's {' and '.join(NIH_LISTS)} beside the label file, or set "
                "labels.splits=patient"
            ) from error
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        twice = next((image for image in lines if listed.get(image, split) != split), None)
        if twice:
            raise ValueError(
                f"image {twice!r} is in {' and in '.join(NIH_LISTS)}: fetch NIH's lists anew"
            )
        listed |= dict.fromkeys(lines, split)
    official = labels["image"].map(listed)
    absent = labels.loc[official.isna(), "image"]
    if len(absent):
        raise ValueError(
            f"NIH's lists lack {len(absent)} of {len(labels)} images, the first "
            f"{absent.iloc[0]!r}: fetch the lists anew, or set labels.splits=patient"
        )
    held_out = split_by_patient(labels["patient"], validation=validation, test=0, seed=seed)
    return official.where(official == "test", held_out)


def _refuse_patients_in_two_splits(labels: pd.DataFrame) -> None:
    splits = labels.groupby("patient", sort=False)["split"].nunique()
    torn = splits.index[splits > 1]
    if len(torn):
        rows = labels[labels["patient"] == torn[0]].drop_duplicates("split")
        places = " and ".join(f"{row.split} ({row.image!r})" for row in rows.itertuples())
        more = f" (and {len(torn) - 1} more such patients)" if len(torn) > 1 else ""
        raise ValueError(
            f"patient {torn[0]!r} is in {places}{more}: a patient must be in one split only; mend "
            "the lists, or set labels.splits=patient"
        )
