"""Nodes from image files to the image store."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.data.build import StorePlan, plan_store
from cxr_pipeline.data.sheets import image_sheet
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.parameters import PreprocessingParameters

SHEET_IMAGES = 64


def plan_images(
    labels: pd.DataFrame, raw_dir: str, parameters: PreprocessingParameters
) -> StorePlan:
    """Decide what the image store shall hold; the catalog builds it as it saves the plan."""
    return plan_store(labels, raw_dir, **parameters.model_dump())


def report_images(images: ImageStore) -> tuple[pd.DataFrame, npt.NDArray[np.uint8]]:
    """List the images left out, and show some of those kept as the models will see them."""
    chosen = np.linspace(0, len(images) - 1, min(SHEET_IMAGES, len(images))).astype(np.int64)
    return images.quarantine(), image_sheet(images.read(chosen), columns=8)
