"""A trained model's numbers and the paper's (Table 5) in the same units."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

PAPER_MINUTES = {"gan": 24, "vae": 48, "gmvae, frozen": 30, "gmvae, fine-tuned": 65}
"""An epoch on an Nvidia T4 (Table 5)."""

PAPER_EPOCH_IMAGES = 44_625
"""The training images of No Finding, on which the authors trained the GAN and the VAE."""

LAST_STEPS = 50
"""A loss at the end is its mean over so many steps: one step's says little."""


def paper_name(config: Mapping[str, Any]) -> str:
    """The row of Table 5 that a trained model stands in, one of `PAPER_MINUTES`."""
    name = str(config["model"])
    if name == "gmvae":
        name += ", fine-tuned" if config["architecture"]["fine_tune"] else ", frozen"
    return name


def minutes_a_paper_epoch(images_per_second: float) -> float:
    """Minutes that the paper's epoch takes at a speed."""
    return PAPER_EPOCH_IMAGES / images_per_second / 60


def paper_images_per_second(config: Mapping[str, Any]) -> float | None:
    """The authors' speed on their T4; None of a model that is not in the paper."""
    minutes = PAPER_MINUTES.get(paper_name(config))
    return PAPER_EPOCH_IMAGES / minutes / 60 if minutes else None


def counted(config: Mapping[str, Any], counts: pd.DataFrame) -> dict[str, int]:
    """Count a trained model's parameters beside the paper's.

    Args:
        config: What its training left in `config.json`.
        counts: `parameter_counts.csv`, where a model of that kind and size may stand.

    Returns:
        `parameters`, those that training changed, and of `counted_as_paper` and `paper` what the
        table has; empty where the configuration does not say.
    """
    own = config.get("learned_parameters")
    if own is None:
        return {}
    of_model = counts["model"].str.split().str[0] == config["model"]
    total = counts["component"].str.startswith("total")
    rows = counts[of_model & total & (counts["parameters"] == own)]
    beside = rows.iloc[0].dropna().to_dict() if len(rows) else {}
    return {"parameters": own} | {
        key: int(beside[key]) for key in ("counted_as_paper", "paper") if key in beside
    }


def at_the_end(history: pd.DataFrame) -> dict[str, float]:
    """Where training ended.

    Args:
        history: `step`, `metric`, `value`.

    Returns:
        By metric: each loss, a mean over its last 50 steps, and each quality, as it was last.
    """
    values = history.groupby("metric", sort=False)["value"]
    ends = {
        str(name): own.tail(LAST_STEPS).mean()
        for name, own in values
        if str(name).startswith("loss/")
    }
    last = {str(name): own.iloc[-1] for name, own in values if str(name).startswith("quality/")}
    return {name: float(value) for name, value in (ends | last).items()}
