"""The report: one self-contained page of whatever has been counted, trained and drawn so far."""

import base64
import io
import json
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from cxr_pipeline.evaluation.charts import class_count_chart, loss_chart

MODELS = ("gan",)


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
    return environment.get_template("report.html.jinja").render(
        class_counts=_table(reports / "class_counts.csv"),
        class_counts_chart=_chart(reports / "class_counts.csv", class_count_chart),
        transformed_images=_picture(reports / "transformed_images.png"),
        quarantine=_quarantine_reasons(reports / "quarantine.csv"),
        parameter_counts=_table(reports / "parameter_counts.csv"),
        models=[_model(name, reports / name, models / name / "config.json") for name in MODELS],
    )


def _model(name: str, folder: Path, config: Path) -> dict[str, Any]:
    steps = sorted((folder / "progress").glob("step_*.png"))
    return {
        "name": name,
        "config": json.loads(config.read_text()) if config.is_file() else None,
        "losses": _chart(folder / "history.csv", loss_chart),
        "samples": _picture(folder / "samples.png"),
        "progress": [
            {"step": int(path.stem.removeprefix("step_")), "picture": _picture(path)}
            for path in steps
        ],
    }


def _quarantine_reasons(path: Path) -> dict[str, Any] | None:
    """Count the reasons; the images' names tell of patients, and the page may be sent around."""
    if not path.is_file():
        return None
    return _content(pd.read_csv(path)["reason"].value_counts().reset_index(name="images"))


def _table(path: Path) -> dict[str, Any] | None:
    return _content(pd.read_csv(path)) if path.is_file() else None


def _content(table: pd.DataFrame) -> dict[str, Any]:
    table = table.convert_dtypes()
    rows = [
        [
            "" if pd.isna(cell) else f"{cell:,}" if isinstance(cell, Integral) else cell
            for cell in row
        ]
        for row in table.itertuples(index=False)
    ]
    return {"columns": list(table.columns), "rows": rows}


def _chart(path: Path, draw: Callable[[pd.DataFrame], Figure]) -> str | None:
    if not path.is_file():
        return None
    buffer = io.BytesIO()
    draw(pd.read_csv(path)).savefig(buffer, format="png", dpi=120)
    return _data_url(buffer.getvalue())


def _picture(path: Path) -> str | None:
    return _data_url(path.read_bytes()) if path.is_file() else None


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
