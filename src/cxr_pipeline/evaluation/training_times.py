"""How long an epoch of each model took, on which machine, beside the paper's Table 5."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

PAPER_MINUTES = {"gan": 24, "vae": 48, "gmvae, frozen": 30, "gmvae, fine-tuned": 65}
"""An epoch on an Nvidia T4 (Table 5)."""

PAPER_EPOCH_IMAGES = 44_625
"""The training images of No Finding, on which the authors trained the GAN and the VAE."""

COLUMNS = [
    "model", "data", "images", "images_per_second", "seconds_per_epoch", "machine", "precision",
    "minutes_per_paper_epoch", "paper_minutes_per_epoch",
]  # fmt: skip


def training_times(models: Path) -> pd.DataFrame:
    """Gather what the trained models' configurations say of their speed.

    Args:
        models: The models' folder (`data/06_models`), one folder a model with its `config.json`.

    Returns:
        A row a model: `model`, `data`, `images` an epoch, `images_per_second`, `seconds_per_epoch`,
        `machine`, `precision`, `minutes_per_paper_epoch` (what 44,625 images would take at that
        speed) and `paper_minutes_per_epoch` (what they took the authors, on a T4). Time for samples
        and checkpoints is not in it, nor is a frozen encoder's.
    """
    rows = []
    for path in sorted(models.glob("*/config.json")):
        config = json.loads(path.read_text())
        name = paper_name(config)
        environment = config["environment"]
        rows.append(
            [
                name,
                config["data"],
                config["training_images"],
                round(config["images_per_second"], 1),
                round(config["training_images"] / config["images_per_second"], 1),
                environment["device"],
                environment["precision"],
                round(PAPER_EPOCH_IMAGES / config["images_per_second"] / 60, 1),
                PAPER_MINUTES.get(name),
            ]
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def paper_name(config: Mapping[str, Any]) -> str:
    """The row of Table 5 that a trained model stands in, one of `PAPER_MINUTES`."""
    name = str(config["model"])
    if name == "gmvae":
        name += ", fine-tuned" if config["architecture"]["fine_tune"] else ", frozen"
    return name
