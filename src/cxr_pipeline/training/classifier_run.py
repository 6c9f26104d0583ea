"""Training the classifier on an image store."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cxr_pipeline.data.conditions import conditions, multi_hot
from cxr_pipeline.data.resizing import resize_images
from cxr_pipeline.data.selection import Selection, selection_from
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.training.classifier import TrainedClassifier, train_classifier
from cxr_pipeline.training.distributed import alone
from cxr_pipeline.training.examples import HELD_OUT_IMAGES
from cxr_pipeline.training.task import Examples

logger = logging.getLogger(__name__)

READ_AT_ONCE = 4096
"""Images in memory at the store's size; all are kept at the classifier's."""


def train_classifier_on_store(
    images: ImageStore,
    parameters: Mapping[str, Any],
    *,
    checkpoints: Path,
    on_metrics: Callable[[int, Mapping[str, float]], None],
    notes: Mapping[str, str] | None = None,
) -> TrainedClassifier:
    """Train the classifier on a store's training split; a finished one is taken as it is.

    Under `torchrun` rank 0 trains it alone, while the others wait for the next model.

    Args:
        images: The store.
        parameters: `ClassifierParameters`, in JSON's types.
        checkpoints: The folder of the resumable checkpoint.
        on_metrics: Told the step and the latest metrics.
        notes: See `Checkpoint.notes`.

    Raises:
        ValueError: If no image is left to train on or look at it with, an image's findings are
            unknown, or as `engine.train` says.
    """
    entries = conditions(images.classes)
    selection = selection_from(parameters["selection"])
    rows = images.rows(split="train", selection=selection)
    held_out = _rows_to_look_at(images, selection, rows)
    size = parameters["image_size"]
    with alone():
        return train_classifier(
            read_labelled(images, rows, entries, size),
            read_labelled(images, held_out, entries, size),
            entries,
            parameters,
            checkpoints=checkpoints,
            identity={"image_store_digest": images.digest, "data": images.manifest["data"]},
            on_metrics=on_metrics,
            notes=notes,
            reuse=True,
        )


def _rows_to_look_at(
    images: ImageStore, selection: Selection, trained_on: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    try:
        rows = images.rows(split="validation", selection=selection)
    except ValueError:
        rows = trained_on
        logger.warning("No image in the validation split: the classifier is watched on its own")
    return rows[np.linspace(0, len(rows) - 1, min(HELD_OUT_IMAGES, len(rows))).astype(np.int64)]


def read_labelled(
    images: ImageStore, rows: npt.NDArray[np.int64], entries: tuple[str, ...], size: int
) -> Examples:
    """Read images and their label vectors, resized.

    Args:
        images: The store.
        rows: Positions in its index.
        entries: The label vector's entries.
        size: Side wanted, in pixels.
    """
    pixels = np.empty((len(rows), size, size), dtype=np.uint8)
    for first in range(0, len(rows), READ_AT_ONCE):
        some = rows[first : first + READ_AT_ONCE]
        pixels[first : first + len(some)] = resize_images(images.read(some), size)
    labels = images.index["findings"].iloc[rows].tolist()
    return {
        "pixels": torch.from_numpy(pixels)[:, None],
        "findings": multi_hot(labels, entries),
    }
