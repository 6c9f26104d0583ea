"""How often each finding occurs, beside the paper's Table 1, and which occur together."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.data.findings import NO_FINDING, PAPER_COUNTS
from cxr_pipeline.data.splits import SPLITS

UNKNOWN_VIEW = "unknown"
VIEWS = ("PA", "AP", UNKNOWN_VIEW)

# Training images of a class, as the long-tailed chest X-ray benchmarks draw the line: Holste et
# al., "Long-Tailed Classification of Thorax Diseases on Chest X-Ray", 2022, arXiv:2208.13365.
HEAD_ABOVE, TAIL_BELOW = 1000, 100


def count_classes(labels: pd.DataFrame) -> pd.DataFrame:
    """Count the images of each finding.

    Args:
        labels: The label table (see `labels.LABEL_SCHEMA`).

    Returns:
        Columns `finding`, `count` (images here) and `paper` (images in Table 1), in the order of
        Table 1; a row for each class that the labels know. An image with two findings counts under
        both.
    """
    findings = _findings_of(labels)
    return pd.DataFrame(
        {
            "finding": findings,
            "count": [int(labels[finding].sum()) for finding in findings],
            "paper": [PAPER_COUNTS[finding] for finding in findings],
        }
    )


def count_classes_by_split_and_view(labels: pd.DataFrame) -> pd.DataFrame:
    """Count the images of each finding in each split, of each view, and of each view in each split.

    Args:
        labels: The label table, with its splits.

    Returns:
        The rows of `count_classes` with the columns `finding`, `group` (see `group_of`; of the
        training images, or of all where none is for training), `total`, `PA`, `AP`, `unknown` (no
        view given), and for each split the same four: `train`, `train_PA`, `train_AP`,
        `train_unknown` and so on. All of them are there in every table.
    """
    findings = _findings_of(labels)
    # Whatever is neither PA nor AP counts too: else the parts would not add up to the totals.
    view = labels["view"].where(labels["view"].isin(VIEWS), UNKNOWN_VIEW)
    cells = pd.MultiIndex.from_product([SPLITS, VIEWS])
    sums = labels[findings].groupby([labels["split"], view]).sum().reindex(cells, fill_value=0)
    counts = sums.to_numpy(dtype=np.int64).reshape(len(SPLITS), len(VIEWS), len(findings))
    columns = {"total": counts.sum(axis=(0, 1))} | _by_view("", counts.sum(axis=0))
    for split, of_split in zip(SPLITS, counts, strict=True):
        columns |= {split: of_split.sum(axis=0)} | _by_view(f"{split}_", of_split)
    counted = columns["train"] if columns["train"].any() else columns["total"]
    groups = [group_of(int(images)) for images in counted]
    return pd.DataFrame({"finding": findings, "group": groups, **columns})


def group_of(images: int) -> str:
    """Place a class in the long tail by the number of its training images.

    Returns:
        `head` above 1,000 images, `tail` below 100, `medium` between.
    """
    if images > HEAD_ABOVE:
        return "head"
    return "tail" if images < TAIL_BELOW else "medium"


def count_cooccurrence(labels: pd.DataFrame) -> pd.DataFrame:
    """Count the images that have two findings, for each two.

    Args:
        labels: The label table.

    Returns:
        `finding` and a column for each finding in the order of the rows, that of Table 1 without
        'No Finding', which stands beside nothing: images with both, on the diagonal all images with
        the finding. Then `alone`: images with the finding and no other.
    """
    findings = [finding for finding in _findings_of(labels) if finding != NO_FINDING]
    flags = labels[findings].to_numpy(dtype=np.int64)
    both = flags.T @ flags
    alone = flags[flags.sum(axis=1) == 1].sum(axis=0)
    table = pd.DataFrame(both, columns=findings).assign(alone=alone)
    table.insert(0, "finding", findings)
    return table


def _findings_of(labels: pd.DataFrame) -> list[str]:
    """The classes that the labels know, in the order of Table 1."""
    return [finding for finding in PAPER_COUNTS if finding in labels.columns]


def _by_view(prefix: str, counts: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
    return {f"{prefix}{view}": row for view, row in zip(VIEWS, counts, strict=True)}
