"""Training: image store -> model -> losses, samples. One template, a namespace a model."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.evaluation.charts import loss_chart
from cxr_pipeline.pipelines.training.nodes import draw_samples, train_gan

TRAINERS: dict[str, Callable[..., Any]] = {"gan": train_gan}


def create_pipeline(model: str = "gan") -> Pipeline:
    """Instantiate the template for one model.

    Args:
        model: The model's name: its namespace, its section of the parameters and its folders.
    """
    parameters = f"params:{model}"
    sampling = [f"{parameters}.samples", f"{parameters}.sample_seed"]
    template = Pipeline(
        [
            Node(
                TRAINERS[model],
                ["images", parameters, "checkpoints", "progress"],
                ["weights", "config", "history", "images_per_second"],
                name="train",
            ),
            Node(loss_chart, "history", "losses", name="draw_losses"),
            Node(
                draw_samples,
                ["config", "weights", *sampling],
                ["synthetic", "samples"],
                name="draw_samples",
            ),
        ]
    )
    return Pipeline(
        template, namespace=model, inputs={"images"}, parameters={parameters, *sampling}
    )
