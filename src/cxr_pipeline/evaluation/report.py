"""The report: one self-contained page of whatever has been counted, trained and drawn so far."""

import base64
import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from cxr_pipeline.evaluation.charts import diagnostics_chart, loss_chart, sweep_chart
from cxr_pipeline.evaluation.headline import headline
from cxr_pipeline.evaluation.interactive_charts import (
    Chart,
    diagnostics_data,
    loss_data,
    sweep_data,
)
from cxr_pipeline.evaluation.kept_files import read_csv, read_json
from cxr_pipeline.evaluation.label_charts import class_count_chart, cooccurrence_chart
from cxr_pipeline.evaluation.page_pictures import (
    QUALITY,
    Picture,
    chart_picture,
    first_row,
    picture,
    rows_of,
)
from cxr_pipeline.evaluation.page_scores import page_scores
from cxr_pipeline.evaluation.page_tables import (
    Table,
    as_table,
    parted,
    read_split_table,
    read_table,
)
from cxr_pipeline.evaluation.paper_index import VERSION_FIGURES, paper_index

MODELS = ("gan", "vae", "gmvae")
SWEEPS = ("vae_beta_sweep", "gmvae_sweep")
DECODERS = ("1", "2")
"""Those that the paper lists layer by layer."""
TABLE_4_COLUMNS = 8
"""The first ones of the versions' table; the others are their sizes."""
THUMBNAILS = 4
"""Samples of each model at the top of the page."""


def render_report(reports: Path, models: Path) -> str:
    """Render the page from the files that the other pipelines left.

    Args:
        reports: The reporting folder (`data/08_reporting`).
        models: The models' folder (`data/06_models`), one folder a model with its `config.json`.

    Returns:
        HTML that needs no other file and no network, the same for the same files. A part whose
        files are not there says which command makes them. Without scripts, charts are pictures.
    """
    # Not `select_autoescape`: it goes by the name's end, which is .jinja here.
    environment = Environment(
        loader=PackageLoader("cxr_pipeline.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    counts = reports / "class_counts.csv"
    by_split_and_view = reports / "class_counts_by_split_and_view.csv"
    cooccurrence = reports / "cooccurrence.csv"
    shown = [_model(name, reports, models / name / "config.json") for name in MODELS]
    sweeps = {name: _sweep(reports / name) for name in SWEEPS}
    versions = read_table(reports / "gmvae_versions.csv")
    charted = [*shown, *sweeps.values()]
    return environment.get_template("report.html.jinja").render(
        paper_index=paper_index(reports, untrained=[m["name"] for m in shown if not m["config"]]),
        class_counts=read_table(counts),
        class_counts_chart=_chart(class_count_chart, counts, by_split_and_view),
        class_counts_by_split_and_view=read_split_table(by_split_and_view),
        cooccurrence=read_table(cooccurrence),
        cooccurrence_chart=_chart(cooccurrence_chart, cooccurrence),
        transformed_images=picture(reports / "transformed_images.png"),
        image_accounting=read_table(reports / "image_accounting.csv"),
        models=shown,
        sweeps=sweeps,
        scores=page_scores(
            reports, {model["name"]: model["config"] for model in shown if model["config"]}
        ),
        parameter_counts=read_table(reports / "parameter_counts.csv"),
        gmvae_versions=parted(versions, TABLE_4_COLUMNS) if versions else (None, None),
        decoder_layers={
            name: read_table(reports / f"layers_decoder_{name}.csv") for name in DECODERS
        },
        training_times=read_table(reports / "training_times.csv"),
        environment=_environments([model["config"] for model in shown if model["config"]]),
        quality=QUALITY,
        plotly=packed_plotly() if any(part["losses_data"] for part in charted) else None,
    )


def packed_plotly() -> str:
    """Plotly's script, compressed and in base 64: 1.8 MB in place of 4.6; browsers unpack it."""
    # Takes a second to import.
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _model(name: str, reports: Path, config_path: Path) -> dict[str, Any]:
    """What is there of a model: its numbers, pictures and charts."""
    # torch takes seconds to import, and whoever imports this module may not render anything.
    from cxr_pipeline.evaluation.network_tables import FIGURES, network_tables

    folder, history = reports / name, reports / name / "history.csv"
    config = read_json(config_path) if config_path.is_file() else None
    architecture = config["architecture"] if config else {}
    networks = network_tables(name, architecture) if name in FIGURES else {}
    return {
        "name": name,
        "config": config,
        "headline": headline(config, reports) if config else [],
        "thumbnails": _first_row(folder / "samples.png", config, THUMBNAILS),
        "samples": picture(folder / "samples.png"),
        "samplers": picture(folder / "samplers.png"),
        "reconstructions": picture(folder / "reconstructions.png"),
        "latents": {
            path.stem.replace("_", " "): picture(path)
            for path in sorted((folder / "latents").glob("*.png"))
        },
        "losses": _chart(loss_chart, history),
        "losses_data": _data(loss_data, history),
        "diagnostics": _chart(diagnostics_chart, history),
        "diagnostics_data": _data(diagnostics_data, history),
        "progress": _progress(folder / "progress", config),
        "networks": {part: as_table(table) for part, table in networks.items()},
        "figure": FIGURES.get(name),
    }


def _progress(folder: Path, config: Mapping[str, Any] | None) -> list[tuple[str, Picture | None]]:
    """What became of the same few noise vectors, a row a step (Figs. 6 and 8)."""
    steps = {int(path.stem.removeprefix("step_")): path for path in folder.glob("step_*.png")}
    return [(f"step {step:,}", _first_row(steps[step], config)) for step in sorted(steps)]


def _first_row(
    path: Path, config: Mapping[str, Any] | None, columns: int | None = None
) -> Picture | None:
    return first_row(path, config["image_size"], columns=columns) if config else None


def _sweep(folder: Path) -> dict[str, Any]:
    """A sweep's losses, where each member ended, and a row of samples of each, in that order."""
    summary = read_table(folder / "summary.csv")
    members = [row[0] for row in summary.rows] if summary else []
    figures = [f" ({VERSION_FIGURES[name]})" if name in VERSION_FIGURES else "" for name in members]
    names = [name.replace("_", " ") + figure for name, figure in zip(members, figures, strict=True)]
    rows = rows_of(folder / "samples.png", len(members))
    return {
        "losses": _chart(sweep_chart, folder / "history.csv"),
        "losses_data": _data(sweep_data, folder / "history.csv"),
        "summary": summary,
        "samples": list(zip(names, rows, strict=False)),
    }


def _environments(configs: list[dict[str, Any]]) -> Table | None:
    """What each model was trained with, as it recorded it itself: a column a model."""
    if not configs:
        return None
    names = {
        "cxr_pipeline": "cxr_pipeline",
        "git_commit": "git commit",
        "torch": "torch",
        "device": "machine",
        "threads": "threads",
        "precision": "precision",
    }
    rows = {
        spoken: [config["environment"].get(name, config.get(name)) for config in configs]
        for name, spoken in names.items()
    }
    rows["seed"] = [config.get("parameters", {}).get("seed") for config in configs]
    rows["data"] = [config["data"] for config in configs]
    rows["training images"] = [f"{config['training_images']:,}" for config in configs]
    for name in ("image_store_digest", "weights_sha256"):
        rows[name.replace("_", " ").replace("sha256", "SHA-256")] = [c.get(name) for c in configs]
    known = {name: cells for name, cells in rows.items() if any(cell is not None for cell in cells)}
    frame = pd.DataFrame.from_dict(known, orient="index", columns=[c["model"] for c in configs])
    return as_table(frame.astype("string").reset_index(names=""))


def _chart(draw: Callable[..., Figure], *paths: Path) -> Picture | None:
    if not all(path.is_file() for path in paths):
        return None
    return chart_picture(draw(*(read_csv(path) for path in paths)))


def _data(describe: Callable[[pd.DataFrame], list[Chart]], history: Path) -> list[Chart]:
    return describe(read_csv(history)) if history.is_file() else []
