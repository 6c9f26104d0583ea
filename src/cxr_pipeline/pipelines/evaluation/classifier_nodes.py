"""Nodes that train the classifier of findings and score it.

As in `pipelines/training/nodes.py`, what needs torch is imported by the functions that need it.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxr_pipeline import tracking
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.parameters.evaluation import ClassifierParameters, EvaluationParameters

logger = logging.getLogger(__name__)

Record = dict[str, Any]


def train_classifier(
    images: ImageStore, parameters: ClassifierParameters, checkpoints: Path
) -> tuple[Any, ...]:
    """Train a classifier of findings on the training patients; a finished one is taken as it is."""
    from cxr_pipeline.training.classifier_run import train_classifier_on_store
    from cxr_pipeline.training.record import speed_and_size

    trained = train_classifier_on_store(
        images,
        parameters.model_dump(mode="json"),
        checkpoints=checkpoints,
        on_metrics=tracking.log_metrics,
        notes=tracking.notes(),
    )
    tracking.log_metrics(0, speed_and_size(trained.config))
    return trained.weights, trained.config, trained.history


def score_on_held_out(
    images: ImageStore,
    config: Record,
    weights: Record,
    evaluation: EvaluationParameters,
    classifier: ClassifierParameters,
) -> pd.DataFrame:
    """Score the classifier on real patients that it has not seen, finding by finding."""
    from cxr_pipeline.data.conditions import multi_hot
    from cxr_pipeline.evaluation.classifier_scores import score_classifier
    from cxr_pipeline.evaluation.evaluated import held_out_set

    real = held_out_set(images, evaluation.splits, 2 * evaluation.images)
    known = np.flatnonzero([bool(label) for label in real.labels])
    if len(known) < len(real):
        logger.warning("%d held-out images have no label: not scored", len(real) - len(known))
        real = real.take(known)
    judge = judge_of(config, weights, classifier)
    scores = score_classifier(
        judge.probabilities(real.pixels),
        multi_hot(real.labels, judge.entries).numpy() > 0,
        judge.entries,
        real.groups,
        replicates=evaluation.replicates,
        seed=evaluation.seed,
    )
    tracking.log_metrics(0, _macro(scores))
    return scores


def judge_of(config: Record, weights: Record, classifier: ClassifierParameters) -> Any:
    """The classifier that is kept, on the device that it is trained on."""
    from cxr_pipeline.training.classifier import ImageClassifier

    return ImageClassifier(config, weights, accelerator=classifier.accelerator)


def _macro(scores: pd.DataFrame) -> dict[str, float]:
    mean = scores[scores["finding"] == "mean"]
    named = zip(mean["metric"], mean["value"].astype(float), strict=True)
    return {f"classifier/{metric}": value for metric, value in named}
