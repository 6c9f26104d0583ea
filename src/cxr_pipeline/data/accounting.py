"""Where every image went: no row of the labels and no file is passed over in silence."""

import pandas as pd

from cxr_pipeline.data.store import ImageStore


def account_for_images(images: ImageStore) -> pd.DataFrame:
    """Count what became of the labels' rows and of the files.

    Returns:
        Columns `what` and `images`. Rows of the labels are either not selected or listed; listed
        images are either kept or quarantined, for one of the reasons counted.
    """
    manifest = images.manifest
    reasons = images.quarantine()["reason"].value_counts()
    rows = [
        ("rows of the labels", manifest["listed"] + manifest["not_selected"]),
        ("not selected", manifest["not_selected"]),
        ("listed for the store", manifest["listed"]),
        ("kept", manifest["kept"]),
        ("quarantined", manifest["quarantined"]),
        *((f"quarantined: {reason}", int(count)) for reason, count in reasons.items()),
        ("kept, the same picture in several patients", manifest["duplicates"]),
        ("files that no row names", manifest["unlisted_files"]),
    ]
    return pd.DataFrame(rows, columns=["what", "images"])
