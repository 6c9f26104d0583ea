"""Nodes from the label file to the label table and its counts."""

import pandas as pd

from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.data.splits import split_by_patient
from cxr_pipeline.parameters import LabelParameters


def ingest_labels(raw_dir: str, parameters: LabelParameters) -> pd.DataFrame:
    """Read NIH's label file and split its patients."""
    table = read_labels(raw_dir)
    split = split_by_patient(
        table["patient"],
        validation=parameters.validation,
        test=parameters.test,
        seed=parameters.seed,
    )
    return table.assign(split=split)
