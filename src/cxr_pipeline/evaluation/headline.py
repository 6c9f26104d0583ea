"""The few numbers of a model that one looks for first, beside the paper's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cxr_pipeline.evaluation.against_paper import (
    PAPER_MINUTES,
    at_the_end,
    counted,
    minutes_a_paper_epoch,
    paper_images_per_second,
    paper_name,
)
from cxr_pipeline.evaluation.kept_files import read_csv
from cxr_pipeline.evaluation.page_tables import written


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
    speed, paper_speed = config["images_per_second"], paper_images_per_second(config)
    minutes = PAPER_MINUTES.get(paper_name(config))
    return [
        _parameters(config, reports / "parameter_counts.csv"),
        Fact("images/s", f"{speed:,.0f}", f"{paper_speed:.0f}" if paper_speed else ""),
        Fact("min an epoch", written(round(minutes_a_paper_epoch(speed), 1)), written(minutes)),
        Fact("steps", written(config["steps"])),
        *_measured(reports / config["model"] / "history.csv"),
    ]


def _parameters(config: Mapping[str, Any], counts: Path) -> Fact:
    numbers = counted(config, read_csv(counts)) if counts.is_file() else {}
    return Fact("parameters", *(written(numbers.get(key)) for key in ("parameters", "paper")))


def _measured(history: Path) -> list[Fact]:
    """The total loss at the end, or each where there is no total; and the qualities."""
    if not history.is_file():
        return []
    ends = at_the_end(read_csv(history))
    facts = []
    for name, value in ends.items():
        group, own = name.split("/", 1)
        spoken = own.replace("_", " ")
        if group != "loss":
            facts.append(Fact(spoken, written(value)))
        elif own == "total" or "loss/total" not in ends:
            facts.append(Fact(f"loss: {spoken}", written(value)))
    return facts
