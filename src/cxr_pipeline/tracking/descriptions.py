"""What people read of runs and models in MLflow: names, headline numbers, notes in Markdown."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from cxr_pipeline.tracking.runs import flattened

TITLES = {"gan": "LSGAN", "vae": "VAE", "gmvae": "GMVAE"}
PAPER = {
    "gan": "The LSGAN (the paper's Fig. 7 and section 5): draws 128 px chest X-rays from noise.",
    "vae": "The VAE (the paper's Fig. 4 and section 3.1): draws 128 px chest X-rays from latents.",
    "gmvae": "The GMVAE (the paper's Tables 2 to 4): draws 224 px chest X-rays from a mixture of "
    "Gaussians; which of the nine versions it is, each version says.",
}

HEADLINE_GROUPS = ("loss/", "validation/", "quality/")

SETTINGS_NAMED = 6
"""A run's name has no more of them: its parameters and its command have all."""

LONGEST_NAME = 250
"""Characters that MLflow takes."""

FOLDERS = {
    "labels": "class counts and which findings occur together (Table 1)",
    "preprocessing": "preprocessed images (Fig. 10), how many were left out and why",
    "training": "`losses.png` (Figs. 5 and 9) and `history.csv`",
    "samples": "`samples.png` and what belongs beside it",
    "classifier": "the classifier of findings, its losses",
    "evaluation": "scores of models, and how they were measured; `closest_pairs`",
    "report": "`report.html`, everything on one page, and its tables",
}
"""What lies where among a run's artifacts (`conf/base/catalog_*.yml`)."""


# Kedro's record of a run -> the option that was typed.
COMMAND_OPTIONS = {
    "tags": "tags",
    "node_names": "nodes",
    "from_nodes": "from-nodes",
    "to_nodes": "to-nodes",
    "from_inputs": "from-inputs",
    "to_outputs": "to-outputs",
    "namespaces": "namespaces",
}


def run_name(
    what: str, data: str | None, settings: Mapping[str, Any], begun: datetime | None = None
) -> str:
    """Name a run: `gan on nih1000, epochs=40, 11-23 14:15`.

    Args:
        what: Its pipelines, or the model it trains.
        data: The data's name; None where it reads none.
        settings: What was set for it.
        begun: When; now.
    """
    when = (begun or datetime.now()).strftime("%m-%d %H:%M")
    about = f"{what} on {data}" if data else what
    said = [f"{key}={value}" for key, value in settings.items()]
    if len(said) > SETTINGS_NAMED:
        said = [*said[:SETTINGS_NAMED], f"{len(said) - SETTINGS_NAMED} more"]
    return ", ".join([about, *said, when])[:LONGEST_NAME]


def run_command(run_params: dict[str, Any]) -> str:
    """Rebuild the command line of a run, its environment and parameters included."""
    parts = ["kedro", "run"]
    if run_params.get("pipeline_names"):
        parts.append(f"--pipelines={','.join(run_params['pipeline_names'])}")
    if run_params.get("env"):
        parts.append(f"--env={run_params['env']}")
    for option, name in COMMAND_OPTIONS.items():
        if run_params.get(option):
            parts.append(f"--{name}={','.join(run_params[option])}")
    versions = run_params.get("load_versions") or {}
    if versions:
        parts.append("--load-versions=" + ",".join(f"{k}:{v}" for k, v in versions.items()))
    parameters = flattened(run_params.get("runtime_params") or {})
    if parameters:
        parts.append("--params=" + ",".join(f"{key}={value}" for key, value in parameters.items()))
    return shlex.join(parts)


def headlines(config: Mapping[str, Any], history: pd.DataFrame) -> dict[str, float]:
    """Gather the numbers that tell models apart.

    Args:
        config: A model's `config.json`.
        history: Its `step`, `metric`, `value`.

    Returns:
        By metric name: each loss and quality as it was last, speed and size.
    """
    from cxr_pipeline.training.record import speed_and_size  # torch takes seconds to import

    last = history.sort_values("step", kind="stable").groupby("metric")["value"].last()
    chosen = last[last.index.str.startswith(HEADLINE_GROUPS)]
    return {str(k): float(v) for k, v in chosen.items()} | speed_and_size(config)


def describe_registered(model: str) -> str:
    """What all versions of a registered model have in common."""
    return (
        f"{PAPER[model]}\n\nEach finished run is a version; its tags are its headline numbers.\n\n"
        f"```python\nimport mlflow\n\nmodel = mlflow.pyfunc.load_model('models:/{model}/1')\n"
        'images = model.predict({"n": 4, "seed": 0})  # uint8, (4, H, W)\n```\n\n'
        "What it draws is for research, not for diagnosis."
    )


def describe_model(config: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """What a trained model is and how it went: a sentence and a table.

    Args:
        config: Its `config.json`.
        metrics: See `headlines`.
    """
    rows = "\n".join(f"| {key} | {_number(value)} |" for key, value in metrics.items())
    warnings = "".join(f"\n\n**Warning:** {warning}" for warning in config["warnings"])
    return f"{trained_on(config)}{warnings}\n\n| metric | last |\n| :-- | --: |\n{rows}"


def trained_on(config: Mapping[str, Any]) -> str:
    """Say in a sentence what was trained on what, and how it can be repeated."""
    model, own = config["model"], config["parameters"]
    version = f" {own['version']}" if model == "gmvae" else ""
    batch = min(own["batch_size"], config["training_images"])
    epochs = config["steps"] * batch / config["training_images"]
    conditional = ", told of findings" if config["architecture"]["findings"] else ""
    return (
        f"**{TITLES[model]}{version}**{conditional}: {config['steps']:,} steps of "
        f"{batch} images ({epochs:.3g} epochs of {config['training_images']:,}) on "
        f"{config['data']} at {config['image_size']} px, seed {own['seed']}, "
        f"{config['environment']['precision']} on {config['environment']['device']}."
    )


def describe_run(
    parts: Sequence[str], folders: Iterable[str], command: str, members: Iterable[str] = ()
) -> str:
    """What a run made: what was trained, where to look, how to repeat it.

    Args:
        parts: Of each model that it trained: `describe_model`, or `trained_on`.
        folders: Those of its artifacts.
        command: What was typed.
        members: Models with runs of their own.
    """
    look = [f"- `{name}/`: {FOLDERS[name]}" for name in FOLDERS if name in set(folders)]
    own = ", ".join(members)
    if own:
        look.append(f"- the models' own runs, whose tag `part_of` names this one: {own}")
    where = ["### Where to look\n\n" + "\n".join(look)] if look else []
    return "\n\n".join([*parts, *where, f"### Again\n\n```\n{command}\n```"])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 1000 else f"{value:.4g}"
