"""How long an epoch of each model took, on which machine, beside the paper's Table 5."""

import json
from pathlib import Path

import pandas as pd

PAPER_MINUTES = {"gan": 24, "vae": 48, "gmvae, frozen": 30, "gmvae, fine-tuned": 65}
"""An epoch of 44,625 images on an Nvidia T4 (Table 5)."""

COLUMNS = [
    "model", "data", "images", "images_per_second", "seconds_per_epoch", "machine", "precision",
    "paper_minutes_per_epoch",
]  # fmt: skip


def training_times(models: Path) -> pd.DataFrame:
    """Gather what the trained models' configurations say of their speed.

    Args:
        models: The models' folder (`data/06_models`), one folder a model with its `config.json`.

    Returns:
        A row a model: `model`, `data`, `images` an epoch, `images_per_second`, `seconds_per_epoch`,
        `machine`, `precision`, and `paper_minutes_per_epoch` (on a T4, over 44,625 images). Time
        for samples and checkpoints is not in it, nor is a frozen encoder's.
    """
    rows = []
    for path in sorted(models.glob("*/config.json")):
        config = json.loads(path.read_text())
        name = config["model"]
        if name == "gmvae":
            name += ", fine-tuned" if config["architecture"]["fine_tune"] else ", frozen"
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
                PAPER_MINUTES.get(name),
            ]
        )
    return pd.DataFrame(rows, columns=COLUMNS)
