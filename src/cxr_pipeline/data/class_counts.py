"""How often each finding occurs, beside the paper's Table 1."""

import pandas as pd

from cxr_pipeline.data.findings import PAPER_COUNTS


def count_classes(labels: pd.DataFrame) -> pd.DataFrame:
    """Count the images of each finding.

    Args:
        labels: The label table (see `labels.LABEL_SCHEMA`).

    Returns:
        Columns `finding`, `count` (images here) and `paper` (images in Table 1), in the order of
        Table 1. An image with two findings counts under both.
    """
    return pd.DataFrame(
        {
            "finding": [f for f in PAPER_COUNTS if f in labels],
            "count": [int(labels[finding].sum()) for finding in PAPER_COUNTS if finding in labels],
            "paper": [n for f, n in PAPER_COUNTS.items() if f in labels],
        }
    )
