"""The data that a run is made from, as MLflow's data set inputs."""

import json
from functools import partial
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from numpy import dtype

from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.tracking.runs import current_run
from cxr_pipeline.tracking.sending import sender

LONGEST_DIGEST = 36
"""Characters of a digest that MLflow has room for."""


def log_input(images: ImageStore) -> None:
    """Record the image store that the active run reads: what it holds, in numbers."""
    run_id = current_run()
    if run_id is not None:
        sender.send("the data set", partial(_send_input, run_id, images))


def _send_input(run_id: str, images: ImageStore) -> None:
    tags = [InputTag(MLFLOW_DATASET_CONTEXT, "training")]
    MlflowClient().log_inputs(run_id, [DatasetInput(describe_images(images), tags)])


def describe_images(images: ImageStore) -> Dataset:
    """Describe a store to MLflow: counts alone, no image and no patient.

    Args:
        images: The store.

    Returns:
        Named by data and size, with the beginning of the store's digest, the shape of its images,
        and as profile how many are kept, left out, in each split and with each finding.
    """
    pixels = TensorSpec(dtype("uint8"), (-1, images.size, images.size), "images")
    schema = {"features": Schema([pixels]).to_json(), "targets": None}
    return Dataset(
        name=f"{images.manifest['data']} {images.size} px",
        digest=images.digest[:LONGEST_DIGEST],
        source_type="local",
        source=json.dumps({"uri": str(images.folder)}),
        schema=json.dumps({"mlflow_tensorspec": schema}),
        profile=json.dumps(_profile(images)),
    )


def _profile(images: ImageStore) -> dict[str, Any]:
    index = images.index
    findings = index["findings"].str.split("|").explode()
    return {
        "num_rows": len(index),
        "num_elements": len(index) * images.size**2,
        "images_quarantined": int(images.manifest["quarantined"]),
        "patients": int(index["patient"].nunique()),
        "splits": {str(k): int(v) for k, v in index["split"].value_counts().items()},
        "findings": {str(k): int(v) for k, v in findings.value_counts().items() if k},
    }
