"""How long an epoch of each model took, on which machine, beside the paper's Table 5."""

from pathlib import Path

import pandas as pd

from cxr_pipeline.evaluation.against_paper import (
    PAPER_MINUTES,
    minutes_a_paper_epoch,
    paper_name,
)
from cxr_pipeline.evaluation.kept_files import read_json

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
        config = read_json(path)
        if "architecture" not in config:
            continue  # the classifier of findings: Table 5 is of generative models
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
                round(minutes_a_paper_epoch(config["images_per_second"]), 1),
                PAPER_MINUTES.get(name),
            ]
        )
    return pd.DataFrame(rows, columns=COLUMNS)
