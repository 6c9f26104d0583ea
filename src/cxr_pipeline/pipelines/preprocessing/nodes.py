"""Nodes from image files to the image store."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.data.accounting import account_for_images
from cxr_pipeline.data.plan import StorePlan, plan_store
from cxr_pipeline.data.sheets import image_sheet, pair_sheet
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.parameters.data import PreprocessingParameters

SHEET_IMAGES = 64
SHEET_PAIRS = 32
SHEET_COLUMNS = 8


def plan_images(
    labels: pd.DataFrame, raw_dir: str, parameters: PreprocessingParameters, size: int
) -> StorePlan:
    """Decide what the image store shall hold; the catalog builds it as it saves the plan."""
    return plan_store(labels, raw_dir, **parameters.plan(size))


def report_images(images: ImageStore) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Account for every image; list those left out and those that several patients share."""
    return account_for_images(images), images.quarantine(), images.duplicates()


def show_images(
    images: ImageStore, raw_dir: str, parameters: PreprocessingParameters
) -> npt.NDArray[np.uint8]:
    """Show some images as the models will see them (Fig. 10), or beside what they were before."""
    pairs = parameters.sheet == "pairs"
    count = min(SHEET_PAIRS if pairs else SHEET_IMAGES, len(images))
    chosen = np.linspace(0, len(images) - 1, count).astype(np.int64)
    after = images.read(chosen)
    if not pairs:
        return image_sheet(after, columns=SHEET_COLUMNS)
    names = images.index["image"].iloc[chosen]
    most = images.manifest["parameters"]["max_pixels"]
    return pair_sheet(names, after, raw_dir, columns=SHEET_COLUMNS, max_pixels=most)
