"""What of an evaluation can be refused before any work."""

from collections.abc import Collection, Sequence
from pathlib import Path

from cxr_pipeline.evaluation.evaluated import trained_models


def check_evaluation(
    models: Path,
    *,
    wanted: Sequence[str],
    synthetic_dir: str | None,
    weights: str | None,
    to_be_trained: Collection[str],
) -> None:
    """Refuse to evaluate what is not there.

    Args:
        models: The models' folder.
        wanted: The models asked for; empty for all that are there.
        synthetic_dir: A folder of images beside them, if any.
        weights: The file of an extractor's weights, if any.
        to_be_trained: Models that the same run trains first.

    Raises:
        ValueError: If a model, the folder or the file is not there, or nothing at all is.
    """
    there = {*trained_models(models), *to_be_trained}
    absent = [name for name in wanted if name not in there]
    if absent:
        raise ValueError(
            f"evaluation.models={'|'.join(wanted)}: there is no trained {absent[0]} in '{models}': "
            f"train it, with `kedro run --pipeline={absent[0]}`, or leave it out"
        )
    if synthetic_dir is not None and not Path(synthetic_dir).is_dir():
        raise ValueError(
            f"evaluation.synthetic_dir='{synthetic_dir}' is no folder: give one that holds images"
        )
    if weights is not None and not Path(weights).is_file():
        raise ValueError(f"evaluation.weights='{weights}' is no file: give one, or null")
    if not there and synthetic_dir is None:
        raise ValueError(
            f"there is nothing to evaluate: '{models}' holds no trained model: train one, with "
            "`kedro run --pipeline=gan`, or give a folder of images, evaluation.synthetic_dir=DIR"
        )
