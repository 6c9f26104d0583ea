"""A model card and a data sheet: what a model and its images are, from what is on record."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from cxr_pipeline.data.files import write_bytes
from cxr_pipeline.evaluation.caveats import caveats, closed_gates
from cxr_pipeline.evaluation.image_sets import REAL
from cxr_pipeline.evaluation.measured import COPIES
from cxr_pipeline.evaluation.metric_names import ARROWS
from cxr_pipeline.evaluation.page_tables import power_table, written
from cxr_pipeline.evaluation.score_cells import spoken_time
from cxr_pipeline.evaluation.score_files import Scores, names_model, read_configs, read_scores
from cxr_pipeline.evaluation.scorecard import Scorecard, scorecard

NOT_ON_RECORD = "not on record"

MODELS = {
    "gan": "a least-squares GAN: its generator draws images from noise",
    "vae": "a variational autoencoder: its decoder draws images from latents",
    "gmvae": "a variational autoencoder whose prior is a mixture of Gaussians",
}


def model_card(config: Mapping[str, Any], scores: Scores) -> str:
    """Write a model card (Mitchell et al., 2019) from what is on record of a model.

    Args:
        config: Its `config.json`.
        scores: What the evaluation found; scores of other weights are not shown.

    Returns:
        Markdown, for `MODEL_CARD.md` beside the weights. What is not on record is said not to be.
    """
    return _render("model_card.md.jinja", config, scores)


def data_sheet(
    config: Mapping[str, Any], scores: Scores, provenance: Mapping[str, Any] | None = None
) -> str:
    """Write a data sheet (Gebru et al., 2021) of the images that a model drew.

    Args:
        config: The model's `config.json`.
        scores: What the evaluation found; scores of other weights are not shown.
        provenance: The exported data set's `provenance.json`; the sheet names that file where it is
            not given.

    Returns:
        Markdown, for `DATASHEET.md` beside the weights and in the data set.
    """
    return _render("datasheet.md.jinja", config, scores, provenance=provenance or {})


def write_cards(reports: Path, models: Path) -> None:
    """Write `MODEL_CARD.md` and `DATASHEET.md` beside the weights of each generative model.

    Args:
        reports: The reporting folder, with what the evaluation left.
        models: The models' folder, one folder a model with its `config.json`.

    Raises:
        ValueError: If a file is damaged.
    """
    configs = read_configs(models)
    digests = {name: config.get("weights_sha256") for name, config in configs.items()}
    scores = read_scores(reports, digests)
    for name, config in configs.items():
        if "architecture" in config:  # else the classifier of findings
            write_bytes(models / name / "MODEL_CARD.md", model_card(config, scores).encode())
            write_bytes(models / name / "DATASHEET.md", data_sheet(config, scores).encode())


def scores_of(scores: Scores, config: Mapping[str, Any]) -> Scores:
    """Keep what was found of one model and of real images; nothing of other weights."""
    name, record = config["model"], scores.record
    known = record.get("models", {}).get(name, {}).get("weights_sha256")
    own = [name, REAL] if known in {"", config.get("weights_sha256")} else [REAL]
    missing = [row for row in record.get("missing", []) if row["model"] in {name, REAL}]
    # The order of others is no limit of it.
    disagreements = [line for line in record.get("disagreements", []) if names_model(line, name)]
    kept = {"missing": missing, "disagreements": disagreements}
    return replace(
        scores,
        record={**record, **kept},
        evaluation=_rows_of(scores.evaluation, own),
        agreement=_rows_of(scores.agreement, own),
        utility=_rows_of(scores.utility, own),
        distances=_rows_of(scores.distances, own),
    )


def _rows_of(table: pd.DataFrame | None, models: list[str]) -> pd.DataFrame | None:
    if table is None:
        return None
    kept = table[table["model"].isin(models)]
    # Real images alone say nothing of the model.
    return kept if (kept["model"] != REAL).any() else None


def _render(
    template: str, config: Mapping[str, Any], scores: Scores, **more: Mapping[str, Any]
) -> str:
    # Markdown, no HTML, which the names' end, .jinja, says: texts are escaped by `cell`.
    environment = Environment(
        loader=PackageLoader("cxr_pipeline.evaluation"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": _cell, "flat": _flat}
    own = scores_of(scores, config)
    name = str(config["model"])
    copies = _copies(own, name)
    gate = own.record.get("max_memorised")
    return environment.get_template(template).render(
        name=name,
        config=config,
        what=MODELS.get(name, "a generative model"),
        facts=_training_facts(config),
        command=_command(config),
        findings=config["architecture"].get("findings") or [],
        scorecard=_own_scorecard(own, config),
        caveats=[] if own.evaluation is None else caveats(own),
        arrows=ARROWS,
        utility=_utility(own, name),
        power=None if own.power is None else power_table(own.power),
        copies=copies,
        gate=gate,
        gate_closed=any(row.model == name for row, _ in closed_gates(own)),
        pseudo_labels=None
        if own.utility is None
        else own.facts("utility").get("labels", {}).get(name),
        **more,
    )


def _copies(scores: Scores, name: str) -> dict[str, Any] | None:
    """The row of copies of a model."""
    if scores.evaluation is None:
        return None
    table = scores.evaluation
    rows = table[(table["model"] == name) & (table["metric"] == COPIES)]
    known = rows[rows["value"].notna()].to_dict("records")
    return {str(key): value for key, value in known[0].items()} if known else None


def _own_scorecard(scores: Scores, config: Mapping[str, Any]) -> Scorecard | None:
    if scores.evaluation is None:
        return None
    record = {**scores.record, "models": {}}
    return scorecard(scores.evaluation, record, {config["model"]: config}, scores.utility)


def _utility(scores: Scores, name: str) -> list[dict[str, Any]]:
    """The rows of all findings together, of the model's arms."""
    if scores.utility is None:
        return []
    table = scores.utility
    rows = table[(table["model"] == name) & (table["group"] == "all")].to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def _training_facts(config: Mapping[str, Any]) -> dict[str, str]:
    """How a model was trained, in texts; those that are not on record say so."""
    own, machine = config.get("parameters", {}), config.get("environment", {})
    seconds = config.get("seconds")
    chosen = {key: value for key, value in own.get("selection", {}).items() if value}
    facts = {
        "data": config.get("data"),
        "images trained on": config.get("training_images"),
        "selection": ", ".join(f"{key}={_flat(value)}" for key, value in chosen.items()) or "all",
        "image size": f"{config['image_size']} x {config['image_size']} pixels, grey",
        "image store": config.get("image_store"),
        "image store's digest": config.get("image_store_digest"),
        "weights' SHA-256": config.get("weights_sha256"),
        "parameters trained": config.get("learned_parameters"),
        "steps": config.get("steps"),
        "epochs": own.get("epochs") if own.get("max_steps") is None else "set by max_steps",
        "batch size": own.get("batch_size"),
        "seed": own.get("seed"),
        "precision": machine.get("precision"),
        "machine": machine.get("device"),
        "torch": machine.get("torch"),
        "cxr_pipeline": machine.get("cxr_pipeline"),
        "training time": None if seconds is None else spoken_time(seconds),
    }
    return {name: _cell(value) for name, value in facts.items()}


def _command(config: Mapping[str, Any]) -> str:
    """The command that trains a model again; the rest is in its `config.json`."""
    name, own = config["model"], config.get("parameters", {})
    keys = ("seed", "batch_size", "version", "beta")
    length = "epochs" if own.get("max_steps") is None else "max_steps"
    given = [f"{name}.{key}={own[key]}" for key in (*keys, length) if own.get(key) is not None]
    return f"kedro run --pipeline={name} --params={','.join(['raw_dir=DIR', *given])}"


def _flat(value: Any) -> str:
    """A value on one line; a list as its members."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_flat, value))
    return " ".join(str(value).split())


def _cell(value: Any) -> str:
    """A value as a cell of a table in Markdown."""
    if value is None or isinstance(value, str | list | tuple | dict):
        text = _flat(value) if value else NOT_ON_RECORD
    else:
        text = written(value)
    return text.replace("|", "\\|").replace("<", "&lt;")
