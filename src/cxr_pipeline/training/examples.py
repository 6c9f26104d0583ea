"""What a model is trained on and looked at with: chosen from a store, checked, read into memory."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from cxr_pipeline.data.conditions import asked_findings, conditions, multi_hot
from cxr_pipeline.data.findings import BALANCES
from cxr_pipeline.data.selection import Selection, selection_from
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.training.feature_cache import FeatureCache
from cxr_pipeline.training.models import MODELS
from cxr_pipeline.training.task import Examples
from cxr_pipeline.training.watching import HeldOut

logger = logging.getLogger(__name__)

HELD_OUT_IMAGES = 256
"""Images at most that training is looked at with, once an epoch."""


@dataclass(frozen=True)
class Chosen:
    """What a model is to be trained on."""

    architecture: dict[str, Any]
    """See `models.Model.architecture`."""
    selection: Selection
    rows: npt.NDArray[np.int64]
    """Positions in the store's index."""
    labels: "pd.Series[str]"
    """What the images show, `A|B`."""

    @property
    def entries(self) -> list[str]:
        """The label vector's; none where the model is not conditional."""
        entries: list[str] = self.architecture["findings"]
        return entries


def check_image_size(model: str, size: int) -> None:
    """Check that a model draws images of a size.

    Raises:
        ValueError: If it draws others.
    """
    own = MODELS[model].IMAGE_SIZE
    if size != own:
        raise ValueError(
            f"the {model} draws {own} px images, the image store holds {size} px: set "
            f"preprocessing.size={own}"
        )


def choose_examples(model: str, images: ImageStore, parameters: Mapping[str, Any]) -> Chosen:
    """Choose the training images of a model; nothing is read yet.

    Args:
        model: Its name, one of `MODELS`.
        images: The store.
        parameters: `TrainingParameters` and the model's own, in JSON's types.

    Raises:
        ValueError: If the store holds images of another size, none is left to train on, or a
            conditional model has labels that are blank or all the same, or is to be asked for
            findings that they do not know.
    """
    check_image_size(model, images.size)
    architecture = MODELS[model].architecture(parameters, conditions(images.classes))
    selection = selection_from(parameters["selection"])
    rows = images.rows(split="train", selection=selection)
    chosen = Chosen(architecture, selection, rows, images.index["findings"].iloc[rows])
    if chosen.entries:
        multi_hot(list(chosen.labels.unique()), chosen.entries)
        if chosen.labels.nunique() == 1:
            raise ValueError(
                f"all {len(rows)} training images have the same findings "
                f"({chosen.labels.iloc[0]}): a conditional model learns nothing from them; widen "
                f"{model}.selection"
            )
    asked = [name for name in parameters.get("sample_findings", ()) if name not in BALANCES]
    if asked:
        asked_findings(asked, chosen.entries)
    return chosen


def read_examples(
    images: ImageStore,
    rows: npt.NDArray[np.int64],
    entries: Sequence[str],
    features: FeatureCache | None,
) -> Examples:
    """Read images, their label vectors and features into memory.

    Args:
        images: The store.
        rows: Positions in its index.
        entries: The label vector's entries; none where the model is not conditional.
        features: Where the encoder is frozen, what it made of the images.
    """
    labels = images.index["findings"].iloc[rows].tolist()
    examples = {
        "pixels": torch.from_numpy(images.read(rows))[:, None],  # (N, 1, S, S)
        "findings": multi_hot(labels, entries),
    }
    if features is not None and features.frozen:
        examples["features"] = torch.from_numpy(features.read(images, rows))
    return examples


def read_held_out(images: ImageStore, chosen: Chosen, features: FeatureCache | None) -> HeldOut:
    """Read some of the validation split; where that is empty, of the training split."""
    split = "validation"
    try:
        rows = images.rows(split=split, selection=chosen.selection)
    except ValueError:
        split, rows = "train", chosen.rows
        logger.warning("No image in the validation split: diagnostics look at training images")
    # Spread over the split, for variety.
    some = rows[np.linspace(0, len(rows) - 1, min(HELD_OUT_IMAGES, len(rows))).astype(np.int64)]
    return HeldOut(read_examples(images, some, chosen.entries, features), split)
