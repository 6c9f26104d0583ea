"""What a run says at its end: what it made, its numbers beside the paper's, and where to look."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_pipeline.data.splits import SPLITS
from cxr_pipeline.evaluation.against_paper import (
    LAST_STEPS,
    PAPER_EPOCH_IMAGES,
    PAPER_MINUTES,
    at_the_end,
    counted,
    minutes_a_paper_epoch,
    paper_images_per_second,
    paper_name,
)
from cxr_pipeline.evaluation.closing_scores import scores_message
from cxr_pipeline.evaluation.kept_files import read_csv, read_json
from cxr_pipeline.evaluation.page_tables import written

PARAMETERS, STEPS, SPEED = "parameters", "steps", "images a second"
AS_PAPER, PAPER_PARAMETERS = "  counted as the paper does", "  the paper, Table 5"
EPOCH, PAPER_SPEED = f"an epoch of {PAPER_EPOCH_IMAGES:,} images", "  the paper, on a T4"
PAPER_EPOCH = "  the paper, on its T4"
ENDS = ("loss/", "quality/")
"""What is shown of the metrics, as they were recorded last."""
ROWS = (
    PARAMETERS,
    AS_PAPER,
    PAPER_PARAMETERS,
    STEPS,
    *ENDS,
    SPEED,
    PAPER_SPEED,
    EPOCH,
    PAPER_EPOCH,
)
"""How the rows of the models' table begin, in their order."""

Made = Mapping[str, Path]
"""What a run made: the files by their names in the catalog."""

# What to look at first, in this order; `*` stands for a model.
PLACES = (
    ("everything on one page", "report"),
    ("the scores", "evaluation.scores"),
    ("synthetic chest X-rays", "*.samples"),
    ("the same as a data set", "*.synthetic"),
    ("weights and settings", "*.weights"),
    ("losses", "*.losses"),
    ("images after the transform", "transformed_images"),
    ("images left out, and why", "quarantine"),
    ("class counts", "class_counts"),
    ("the same by split and view", "class_counts_by_split_and_view"),
    ("which occur together", "cooccurrence_chart"),
    ("chest phantoms", "sample_data"),
    ("what became of each file", "downloaded_files"),
    ("what became of each version", "pruned"),
)
MOST_PLACES = 5
"""The report and the folders beside it hold the rest."""


def closing_message(made: Made, *, kedro: str = "kedro") -> str:
    """Say what a run made.

    Args:
        made: The files by their names in the catalog, such as `gan.config`; those that are not
            there are passed over.
        kedro: How the user calls Kedro.

    Returns:
        Lines for a terminal of 80 columns (paths may be longer); empty if there is nothing to say.
    """
    made = {name: path for name, path in made.items() if path.exists()}
    parts = [part(made) for part in PARTS]
    if "report" in made or "class_counts" in made:
        parts.append(_browse(kedro))
    return "\n\n".join(part for part in parts if part)


def _data(made: Made) -> str:
    """A line each for labels and images."""
    lines = []
    if "labels" in made:
        labels = pd.read_parquet(made["labels"], columns=["patient", "split"])
        of_split = labels["split"].value_counts()
        splits = ", ".join(f"{of_split.get(split, 0):,} {split}" for split in SPLITS)
        patients = labels["patient"].nunique()
        lines.append(f"Labels   {len(labels):,} images of {patients:,} patients: {splits}")
    if "image_accounting" in made:
        table = read_csv(made["image_accounting"])
        images = dict(zip(table["what"], table["images"], strict=True))
        lines.append(
            f"Images   {images['kept']:,} kept, {images['quarantined']:,} quarantined, "
            f"{images['not selected']:,} not selected"
        )
        reason = "quarantined: "
        lines += [
            f"           {count:,} {what.removeprefix(reason)}"
            for what, count in images.items()
            if what.startswith(reason)
        ]
    return "\n".join(lines)


def _class_counts(made: Made) -> str:
    """The paper's Table 1, where nothing was made of the labels but counts."""
    if "class_counts" not in made or "image_accounting" in made:
        return ""
    table = read_csv(made["class_counts"]).set_index("finding")
    table.index.name = None
    table.columns = pd.Index(["images", "the paper (Table 1)"])
    return table.map("{:,}".format).to_string()


def _models(made: Made) -> str:
    """Where each model's training ended, beside the paper's numbers."""
    configs = {
        name.removesuffix(".config"): read_json(path)
        for name, path in made.items()
        if name.endswith(".config")
    }
    if not configs:
        return ""
    counts = read_csv(made["parameter_counts"]) if "parameter_counts" in made else None
    rows: dict[str, dict[str, str]] = {}
    for model, config in configs.items():
        numbers = {} if counts is None else _counts(config, counts)
        numbers[STEPS] = f"{config['steps']:,}"
        if f"{model}.history" in made:
            ends = at_the_end(read_csv(made[f"{model}.history"]))
            numbers |= {name: written(value) for name, value in ends.items()}
        for row, number in (numbers | _speed(config)).items():
            rows.setdefault(row, {})[model] = number
    ordered = sorted(rows, key=_place)
    table = pd.DataFrame([rows[row] for row in ordered], index=ordered, columns=list(configs))
    lines = [line.rstrip() for line in table.fillna("").to_string().splitlines()]
    lines.append(f"losses are means over the last {LAST_STEPS} steps")
    if "gmvae, frozen" in map(paper_name, configs.values()):
        lines.append("gmvae's time is without the encoder, which looks at each image once before")
    for model, config in configs.items():
        lines += [f"Warning, {model}: {warning}" for warning in config["warnings"]]
    return "\n".join(lines)


def _place(row: str) -> int:
    """Where a row stands; those of one kind keep the order in which they come."""
    return next(place for place, start in enumerate(ROWS) if row.startswith(start))


def _parameters(made: Made) -> str:
    """The paper's Table 5, where models were counted and none was trained."""
    if "parameter_counts" not in made or any(
        name.endswith((".config", ".summary")) for name in made
    ):
        return ""
    table = read_csv(made["parameter_counts"])
    table = table[table["component"].str.startswith("total") & table["paper"].notna()]
    rows = table["model"] + table["component"].str.removeprefix("total")
    columns = {
        "parameters": "parameters",
        "counted_as_paper": "as Table 5 counts",
        "paper": "Table 5",
    }
    table = table[list(columns)].rename(columns=columns).set_axis(rows.tolist())
    return table.map(lambda count: "" if pd.isna(count) else f"{int(count):,}").to_string()


def _counts(config: Mapping[str, Any], counts: pd.DataFrame) -> dict[str, str]:
    shown = {"parameters": PARAMETERS, "counted_as_paper": AS_PAPER, "paper": PAPER_PARAMETERS}
    return {shown[key]: written(number) for key, number in counted(config, counts).items()}


def _speed(config: Mapping[str, Any]) -> dict[str, str]:
    speed, paper_speed = config["images_per_second"], paper_images_per_second(config)
    shown = {SPEED: f"{speed:,.1f}", EPOCH: f"{minutes_a_paper_epoch(speed):,.1f} min"}
    if paper_speed:
        shown |= {
            PAPER_SPEED: f"{paper_speed:.1f}",
            PAPER_EPOCH: f"{PAPER_MINUTES[paper_name(config)]:,.1f} min",
        }
    return shown


def _sweeps(made: Made) -> str:
    """Where each member of a sweep ended."""
    tables = []
    for name, path in made.items():
        if name.endswith(".summary"):
            table = read_csv(path).set_index("member")
            table.index.name = None
            losses = [column for column in table if str(column).startswith("loss/")]
            shown = table[["steps", "images_per_second", *losses]]
            shown.columns = pd.Index(["steps", "images/s", *losses])
            tables.append(f"{name.removesuffix('.summary')}\n{shown.map(written).to_string()}")
    return "\n\n".join(tables)


def _look(made: Made) -> str:
    """Where the most worthwhile files are; those of several models on one line."""
    lines = []
    for what, name in PLACES:
        names = [name]
        if name.startswith("*"):
            names = [each for each in made if each.endswith(name.removeprefix("*"))]
        paths = [made[each] for each in names if each in made]
        if paths:
            models = [each.partition(".")[0] for each in names]
            lines.append(f"  {what:<30}{_folded(paths[0], models)}")
    return "\n".join(["Look at", *lines[:MOST_PLACES]]) if lines else ""


def _folded(path: Path, models: Sequence[str]) -> str:
    """Write a model's path for several, as shells take it: `data/06_models/{gan,vae}`."""
    shown = _shortened(path)
    if len(models) == 1:
        return str(shown)
    parts = list(shown.parts)
    parts[len(parts) - 1 - parts[::-1].index(models[0])] = f"{{{','.join(models)}}}"
    return str(Path(*parts))


def _browse(kedro: str) -> str:
    return "\n".join(
        [
            "Browse",
            f"  {'the pipelines, with previews':<30}{kedro} viz",
            f"  {'the models, side by side':<30}{kedro} compare",
            f"  {'all runs':<30}{kedro} mlflow ui",
        ]
    )


def _shortened(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


PARTS: tuple[Callable[[Made], str], ...] = (
    _data,
    _class_counts,
    _parameters,
    _models,
    _sweeps,
    scores_message,
    _look,
)
