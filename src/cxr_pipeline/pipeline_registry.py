"""The pipelines that `kedro run --pipeline=...` knows."""

from collections.abc import Collection, Sequence
from functools import partial

from kedro.pipeline import Pipeline

from cxr_pipeline.pipelines import (
    download,
    evaluation,
    labels,
    preprocessing,
    prune,
    reporting,
    sample_data,
    sweeps,
    training,
)
from cxr_pipeline.pipelines.described import described
from cxr_pipeline.pipelines.training.diagrams import NETWORKS, show_network
from cxr_pipeline.pipelines.training.pipeline import IMAGES, TRAINERS


def register_pipelines() -> dict[str, Pipeline]:
    """Name each pipeline; a model's pipeline is the whole chain that leads to it."""
    before = {
        "images": labels.create_pipeline() + preprocessing.create_pipeline(),
        "images_224": labels.create_pipeline()
        + preprocessing.create_pipeline("images_224", "gmvae.image_size"),
    }
    models = {model: training.create_pipeline(model) for model in TRAINERS}
    classifier = before["images"] + evaluation.create_classifier()
    pipelines = {
        "sample_data": sample_data.create_pipeline(),
        "download": download.create_pipeline(),
        "labels": labels.create_pipeline(),
        "preprocessing": before["images"],
        **{
            model: before[IMAGES[model]] + models[model] + reporting.create_pipeline([model])
            for model in models
        },
        "vae_beta_sweep": before["images"]
        + sweeps.create_beta_sweep()
        + reporting.create_pipeline(swept=["vae_beta_sweep"]),
        "gmvae_sweep": before["images_224"]
        + sweeps.create_version_sweep()
        + reporting.create_pipeline(swept=["gmvae_sweep"]),
        "classifier": classifier + reporting.create_pipeline(scored=["classifier.scores"]),
        "evaluation": classifier + _evaluated(evaluation.PARTS),
        "memorisation": classifier + _evaluated(["memorisation"]),
        "utility": classifier + _evaluated(["utility"]),
        "reporting": reporting.create_pipeline(),
        "prune": prune.create_pipeline(),
        "__default__": before["images"]
        + preprocessing.create_pipeline("images_224", "gmvae.image_size", reports=False)
        + sum(models.values(), Pipeline([]))
        + evaluation.create_classifier()
        + _evaluated(evaluation.PARTS, list(models)),
    }
    shows = {node: partial(show_network, model) for node, model in NETWORKS.items()}
    return {name: described(pipeline, shows) for name, pipeline in pipelines.items()}


def _evaluated(parts: Collection[str], trained: Sequence[str] = ()) -> Pipeline:
    """Evaluate models, report, and export what passes the audit, if there is one."""
    evaluated = evaluation.create_evaluation(parts, trained)
    report = reporting.create_pipeline(trained, scored=["classifier.scores", "evaluation.scores"])
    export = evaluation.create_export() if "memorisation" in parts else Pipeline([])
    return evaluated + report + export
