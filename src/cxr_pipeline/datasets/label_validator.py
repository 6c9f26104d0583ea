"""The check of label rows as the catalog runs it, with every violation kept in a file."""

import csv
from pathlib import Path

from cxr_pipeline.data.files import write_bytes
from cxr_pipeline.data.label_checks import describe_violations, find_violations
from cxr_pipeline.data.label_files import LabelRows


class LabelRowsValidator:
    """A Kedro validator: refuses label rows that say what they must not."""

    def __init__(self, filepath: str) -> None:
        """Name the CSV that lists the violations; without any it holds its header alone."""
        self._filepath = Path(filepath)

    def validate(self, data: LabelRows) -> LabelRows:
        """Return the rows.

        Raises:
            ValueError: If there are violations: how many, the first ones, and where all are listed.
        """
        violations = find_violations(data)
        # Quoted: a value may hold anything, a single carriage return too.
        text = violations.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
        write_bytes(self._filepath, text.encode())
        if len(violations):
            raise ValueError(f"{describe_violations(violations)} (all in '{self._filepath}')")
        return data
