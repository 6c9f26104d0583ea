"""Nodes from the label files to the label table."""

import pandas as pd

from cxr_pipeline.data.label_files import LabelRows, read_label_rows
from cxr_pipeline.data.labels import label_table
from cxr_pipeline.data.splits import assign_splits
from cxr_pipeline.parameters.data import LabelParameters


def read_rows(raw_dir: str, parameters: LabelParameters) -> LabelRows:
    """Read the label files as text; the catalog checks every row as it takes them."""
    return read_label_rows(raw_dir, parameters.source)


def ingest_labels(rows: LabelRows, raw_dir: str, parameters: LabelParameters) -> pd.DataFrame:
    """Give the label rows their types, and each patient to a split: train, validation or test."""
    return assign_splits(
        label_table(rows),
        raw_dir,
        source=parameters.splits,
        validation=parameters.validation,
        test=parameters.test,
        seed=parameters.seed,
    )
