"""Reporting: what was counted and trained -> tables and one page."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.pipelines.reporting.nodes import (
    count_model_parameters,
    list_decoder_layers,
    time_training,
    write_cards,
    write_report,
)


def create_pipeline(
    trained: Sequence[str] = (), swept: Sequence[str] = (), scored: Sequence[str] = ()
) -> Pipeline:
    """Chain the reporting nodes.

    Args:
        trained: Models that the same run trains; the page waits for them. Others are shown as
            they were left by earlier runs.
        swept: Sweeps that the same run makes, likewise.
        scored: Data sets of scores that the same run makes, likewise.
    """
    # One data set of each node that makes something for the page: what is not named elsewhere stays
    # within its model's box when Kedro-Viz folds it.
    made_before = list(scored)
    if trained or swept or scored:
        made_before += ["class_counts", "class_counts_by_split_and_view", "cooccurrence"]
        made_before += ["image_accounting", "transformed_images"]
    for model in trained:
        made_before += [f"{model}.samples", f"{model}.latents"]
    if "vae" in trained:
        made_before.append("vae.samplers")
    for sweep in swept:
        made_before.append(f"{sweep}.samples")
    tables = ["parameter_counts", "gmvae_versions", "layers_decoder_1", "layers_decoder_2"]
    return Pipeline(
        [
            Node(
                count_model_parameters,
                ["params:gan", "params:vae", "params:gmvae"],
                ["parameter_counts", "gmvae_versions"],
                name="count_parameters",
            ),
            Node(
                list_decoder_layers,
                None,
                ["layers_decoder_1", "layers_decoder_2"],
                name="list_decoder_layers",
            ),
            Node(
                time_training,
                ["models", *(f"{model}.samples" for model in trained)],
                "training_times",
                name="time_training",
            ),
            Node(
                write_report,
                ["reports", "models", *tables, "training_times", *made_before],
                "report",
                name="write_report",
            ),
            Node(
                write_cards,
                ["reports", "models", "training_times", *made_before],
                None,
                name="write_cards",
            ),
        ],
        namespace="reporting",
        prefix_datasets_with_namespace=False,
    )
