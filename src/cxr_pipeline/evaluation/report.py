"""The report: one self-contained page of whatever has been counted, trained and drawn so far."""

import base64
import io
import json
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from cxr_pipeline.data.class_counts import VIEWS
from cxr_pipeline.data.splits import SPLITS
from cxr_pipeline.evaluation.charts import diagnostics_chart, loss_chart, sweep_chart
from cxr_pipeline.evaluation.label_charts import class_count_chart, cooccurrence_chart

MODELS = ("gan", "vae", "gmvae")
SWEEPS = ("vae_beta_sweep", "gmvae_sweep")
DECODERS = ("1", "2")
"""Those that the paper lists layer by layer."""


def render_report(reports: Path, models: Path) -> str:
    """Render the page from the files that the other pipelines left.

    Args:
        reports: The reporting folder (`data/08_reporting`).
        models: The models' folder (`data/06_models`), one folder a model with its `config.json`.

    Returns:
        HTML that needs no other file and no network. A part whose files are not there says which
        command makes them.
    """
    # Not `select_autoescape`: it goes by the name's end, which is .jinja here.
    environment = Environment(loader=PackageLoader("cxr_pipeline.evaluation"), autoescape=True)
    counts = reports / "class_counts.csv"
    by_split_and_view = reports / "class_counts_by_split_and_view.csv"
    cooccurrence = reports / "cooccurrence.csv"
    return environment.get_template("report.html.jinja").render(
        class_counts=_table(counts),
        class_counts_chart=_chart(class_count_chart, counts, by_split_and_view),
        class_counts_by_split_and_view=_split_table(by_split_and_view),
        cooccurrence=_table(cooccurrence),
        cooccurrence_chart=_chart(cooccurrence_chart, cooccurrence),
        transformed_images=_picture(reports / "transformed_images.png"),
        image_accounting=_table(reports / "image_accounting.csv"),
        parameter_counts=_table(reports / "parameter_counts.csv"),
        gmvae_versions=_table(reports / "gmvae_versions.csv"),
        decoder_layers={name: _table(reports / f"layers_decoder_{name}.csv") for name in DECODERS},
        training_times=_table(reports / "training_times.csv"),
        models=[_model(name, reports / name, models / name / "config.json") for name in MODELS],
        sweeps={name: _sweep(reports / name) for name in SWEEPS},
    )


def _model(name: str, folder: Path, config: Path) -> dict[str, Any]:
    steps = {
        int(path.stem.removeprefix("step_")): _picture(path)
        for path in (folder / "progress").glob("step_*.png")
    }
    return {
        "name": name,
        "config": json.loads(config.read_text()) if config.is_file() else None,
        "samples": _picture(folder / "samples.png"),
        "samplers": _picture(folder / "samplers.png"),
        "reconstructions": _picture(folder / "reconstructions.png"),
        "losses": _chart(loss_chart, folder / "history.csv"),
        "diagnostics": _chart(diagnostics_chart, folder / "history.csv"),
        "progress": sorted(steps.items()),
    }


def _sweep(folder: Path) -> dict[str, Any]:
    """A sweep's losses, where each member ended, and a row of samples of each, in that order."""
    summary = _table(folder / "summary.csv")
    return {
        "losses": _chart(sweep_chart, folder / "history.csv"),
        "summary": summary,
        "samples": _picture(folder / "samples.png"),
        "members": [row[0] for row in summary["rows"]] if summary else [],
    }


def _split_table(path: Path) -> dict[str, Any] | None:
    """The counts by split and view, the splits written once above their four columns."""
    content = _table(path)
    if content is not None:
        content["columns"] = ["finding", "group", *(["all", *VIEWS] * (1 + len(SPLITS)))]
        content["above"] = [("", 2), *((split, 1 + len(VIEWS)) for split in ("in all", *SPLITS))]
    return content


def _table(path: Path) -> dict[str, Any] | None:
    return _content(pd.read_csv(path)) if path.is_file() else None


def _content(table: pd.DataFrame) -> dict[str, Any]:
    table = table.convert_dtypes()
    rows = [[_written(cell) for cell in row] for row in table.itertuples(index=False)]
    numeric = [
        pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        for dtype in table.dtypes
    ]
    return {"columns": list(table.columns), "numeric": numeric, "rows": rows}


def _written(cell: Any) -> str:
    if pd.isna(cell):
        return ""
    if isinstance(cell, bool | np.bool_):
        return "yes" if cell else "no"
    if isinstance(cell, Real):
        # Four digits say enough of what was measured; what was counted is written out.
        number = float(cell)
        whole = isinstance(cell, Integral) or abs(number) >= 1000
        return f"{number:,.0f}" if whole else f"{number:.4g}"
    return str(cell)


def _chart(draw: Callable[..., Figure], *paths: Path) -> str | None:
    if not all(path.is_file() for path in paths):
        return None
    buffer = io.BytesIO()
    draw(*(pd.read_csv(path) for path in paths)).savefig(buffer, format="png", dpi=120)
    return _data_url(buffer.getvalue())


def _picture(path: Path) -> str | None:
    return _data_url(path.read_bytes()) if path.is_file() else None


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
