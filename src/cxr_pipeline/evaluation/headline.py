"""The few numbers of a model that one looks for first, beside the paper's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cxr_pipeline.evaluation.charts import SMOOTHING_STEPS
from cxr_pipeline.evaluation.page_tables import written
from cxr_pipeline.evaluation.training_times import (
    PAPER_EPOCH_IMAGES,
    PAPER_MINUTES,
    paper_name,
)


class Fact(NamedTuple):
    """A number of a model."""

    name: str
    here: str
    paper: str = ""


def headline(config: Mapping[str, Any], reports: Path) -> list[Fact]:
    """Gather a trained model's numbers.

    Args:
        config: What its training left in `config.json`.
        reports: The reporting folder.

    Returns:
        Its parameters, its speed, the minutes that the paper's epoch of 44,625 images would take,
        its steps, its losses at the end (means over the last steps) and qualities such as the
        diversity of what it draws; the paper's beside them where it has them (Table 5, on an
        Nvidia T4).
    """
    speed = config["images_per_second"]
    minutes = PAPER_MINUTES.get(paper_name(config))
    paper_speed = PAPER_EPOCH_IMAGES / minutes / 60 if minutes else None
    return [
        _parameters(config, reports),
        Fact("images/s", f"{speed:,.0f}", f"{paper_speed:.0f}" if paper_speed else ""),
        Fact(
            "min an epoch",
            written(round(PAPER_EPOCH_IMAGES / speed / 60, 1)),
            written(minutes),
        ),
        Fact("steps", written(config["steps"])),
        *_measured(reports / config["model"] / "history.csv"),
    ]


def _parameters(config: Mapping[str, Any], reports: Path) -> Fact:
    """The model's parameters, all of them; a GMVAE's are those of the version that it is."""
    name = "parameters"
    if config["model"] == "gmvae":
        table, columns = _rows(reports / "gmvae_versions.csv"), ("total", "total_as_paper")
        own = [row for row in table if row["version"] == config["parameters"]["version"]]
    else:
        table, columns = _rows(reports / "parameter_counts.csv"), ("parameters", "paper")
        own = [r for r in table if (r["model"], r["component"]) == (config["model"], "total")]
    if not own:
        return Fact(name, "")
    here, paper = (own[0][column] for column in columns)
    return Fact(name, written(int(here)), "" if pd.isna(paper) else written(int(paper)))


def _measured(history: Path) -> list[Fact]:
    """The total loss at the end, or each where there is no total; and the qualities."""
    if not history.is_file():
        return []
    metrics = {str(name): rows["value"] for name, rows in pd.read_csv(history).groupby("metric")}
    losses = [name for name in metrics if name.startswith("loss/")]
    if "loss/total" in losses:
        losses = ["loss/total"]
    ends = {name: metrics[name].tail(SMOOTHING_STEPS).mean() for name in losses}
    ends |= {name: rows.iloc[-1] for name, rows in metrics.items() if name.startswith("quality/")}
    facts = []
    for name, value in ends.items():
        group, own = name.split("/", 1)
        spoken = own.replace("_", " ")
        facts.append(Fact(f"loss: {spoken}" if group == "loss" else spoken, written(float(value))))
    return facts


def _rows(path: Path) -> Sequence[dict[str, Any]]:
    if not path.is_file():
        return []
    return pd.read_csv(path).astype(object).to_dict("records")  # type: ignore[return-value]
