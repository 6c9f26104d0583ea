"""Training: image store -> model -> losses, samples. One template, a namespace a model."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.evaluation.charts import loss_chart
from cxr_pipeline.pipelines.training.nodes import (
    compare_samplers,
    draw_samples,
    explore_latents,
    plan_features,
    train_gan,
    train_gmvae,
    train_vae,
)

TRAINERS: dict[str, Callable[..., Any]] = {"gan": train_gan, "vae": train_vae, "gmvae": train_gmvae}
IMAGES = {"gan": "images", "vae": "images", "gmvae": "images_224"}
"""The image store that each model is trained on."""
CONDITIONAL = {"gan", "gmvae"}
"""Models that can be trained with findings."""


def create_pipeline(model: str = "gan") -> Pipeline:
    """Instantiate the template for one model.

    Args:
        model: The model's name: its namespace, its section of the parameters and its folders.
    """
    parameters = f"params:{model}"
    sampling = [f"{parameters}.{name}" for name in ("samples", "sample_seed", "temperature")]
    seed, temperature = sampling[1:]
    if model in CONDITIONAL:
        sampling.append(f"{parameters}.sample_findings")
    encodes = model != "gan"
    features = ["features"] if model == "gmvae" else []
    inputs = ["images", *features, parameters]
    made = ["weights", "config", "history"]
    nodes = [
        Node(
            TRAINERS[model],
            [*inputs, "checkpoints", "progress"],
            [*made, *(["reconstructions"] if encodes else [])],
            name="train",
        ),
        Node(loss_chart, "history", "losses", name="draw_losses"),
        Node(
            draw_samples,
            ["config", "weights", *sampling],
            ["synthetic", "samples"],
            name="draw_samples",
        ),
        Node(
            explore_latents,
            ["config", "weights", "images", seed, *features],
            "latents",
            name="explore_latents",
        ),
    ]
    if model == "gmvae":
        nodes.append(
            Node(plan_features, ["images", parameters], "features", name="compute_features")
        )
    if model == "vae":
        nodes.append(
            Node(
                compare_samplers,
                ["config", "weights", seed, temperature],
                "samplers",
                name="compare_samplers",
            )
        )
    return Pipeline(
        Pipeline(nodes),
        namespace=model,
        inputs={"images": IMAGES[model]},
        parameters={parameters, *sampling},
    )
