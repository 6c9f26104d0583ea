"""Nodes that compare models with real images held out, and look for copies among their samples.

As in `pipelines/training/nodes.py`, what needs torch is imported by the functions that need it.
"""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.data.labelled_sheets import labelled_sheet
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.parameters.evaluation import (
    ClassifierParameters,
    EvaluationParameters,
    UtilityParameters,
)
from cxr_pipeline.pipelines.evaluation.classifier_nodes import Record, judge_of

logger = logging.getLogger(__name__)


def gather_sets(
    images: ImageStore,
    models: Path,
    stores: Path,
    stores_224: Path,
    kept: Path,
    parameters: EvaluationParameters,
    *trained_before: object,
) -> Any:
    """Gather real images held out, and images of every model and folder.

    Returns:
        An `Evaluated`.
    """
    from cxr_pipeline.evaluation.evaluated import gather

    return gather(
        images,
        models,
        (stores, stores_224),
        kept,
        wanted=parameters.models,
        synthetic_dir=parameters.synthetic_dir,
        samples=parameters.samples,
        splits=parameters.splits,
        most_real=parameters.images,
    )


def measure_fidelity(
    sets: Any,
    config: Record,
    weights: Record,
    evaluation: EvaluationParameters,
    classifier: ClassifierParameters,
    kept: Path,
) -> Record:
    """Measure how like real images samples are, and how varied, by several extractors."""
    from cxr_pipeline.evaluation.extractors import build_extractors
    from cxr_pipeline.evaluation.fidelity.measure import MANIFOLDS
    from cxr_pipeline.evaluation.fidelity.measure import measure_fidelity as measure
    from cxr_pipeline.evaluation.kept_features import kept_features
    from cxr_pipeline.evaluation.measured import Missing

    extractors, obstacles = build_extractors(
        evaluation.extractors,
        classifier=judge_of(config, weights, classifier),
        weights=evaluation.weights,
        weights_sha256=evaluation.weights_sha256,
        seed=evaluation.seed,
        accelerator=classifier.accelerator,
    )
    found = measure(
        sets.samples,
        sets.real,
        extractors,
        features=partial(kept_features, kept),
        neighbours=evaluation.neighbours,
        kid_subset=evaluation.kid_subset,
        replicates=evaluation.replicates,
        seed=evaluation.seed,
        kept=kept,
    )
    for name, reason in obstacles.items():
        logger.warning("No features by %s: %s", name, reason)
    found.missing.extend(sets.missing)
    found.missing.extend(
        Missing(one.name, f"{metric}/{name}", reason)
        for metric in ("fidelity/frechet_distance", "fidelity/kid", *MANIFOLDS)
        for name, reason in obstacles.items()
        for one in sets.samples
    )
    return found.record()


def judge_agreement(
    sets: Any,
    config: Record,
    weights: Record,
    evaluation: EvaluationParameters,
    classifier: ClassifierParameters,
) -> tuple[Record, pd.DataFrame]:
    """Let the classifier judge whether samples show the findings that they were asked for."""
    from cxr_pipeline.evaluation.classifier_scores import agreement

    judge = judge_of(config, weights, classifier)
    found, table = agreement(
        [*sets.samples, sets.real],
        judge.probabilities,
        judge.entries,
        classifier=judge.sha256,
        replicates=evaluation.replicates,
        seed=evaluation.seed,
    )
    found.missing.extend(sets.missing)
    return found.record(), table


def audit_memorisation(
    sets: Any,
    images: ImageStore,
    config: Record,
    weights: Record,
    evaluation: EvaluationParameters,
    classifier: ClassifierParameters,
    kept: Path,
) -> tuple[Record, pd.DataFrame, pd.DataFrame, dict[str, npt.NDArray[np.uint8]], Any]:
    """Look for copies of training images among samples; planted copies tell what would be found."""
    from cxr_pipeline.evaluation.extractors import build_extractors
    from cxr_pipeline.evaluation.kept_features import kept_features_of_rows
    from cxr_pipeline.evaluation.memorisation.audit import TrainingImages, audit_sets

    judge = judge_of(config, weights, classifier)
    (extractor,), _ = build_extractors(["classifier"], classifier=judge, seed=evaluation.seed)
    rows = images.rows(split="train")
    training = TrainingImages(
        len(rows),
        lambda places: images.read(rows[places]),
        kept_features_of_rows(kept, extractor, images, rows),
    )
    audit = audit_sets(
        sets.samples,
        sets.real,
        training,
        extractor=extractor,
        replicates=evaluation.replicates,
        seed=evaluation.seed,
    )
    audit.findings.missing.extend(sets.missing)
    pictures = {name: labelled_sheet(sheet) for name, sheet in audit.sheets.items()}
    return audit.findings.record(), audit.power, audit.distances, pictures, audit.flags


def train_each_arm(
    images: ImageStore,
    models: Path,
    stores: Path,
    stores_224: Path,
    kept: Path,
    evaluation: EvaluationParameters,
    classifier: ClassifierParameters,
    utility: UtilityParameters,
    arms: Path,
    *trained_before: object,
) -> tuple[Record, pd.DataFrame]:
    """Train classifiers with and without synthetic images, and compare them with controls."""
    from cxr_pipeline.data.conditions import conditions
    from cxr_pipeline.data.selection import selection_from
    from cxr_pipeline.evaluation.evaluated import store_set
    from cxr_pipeline.evaluation.utility.arms import images_wanted
    from cxr_pipeline.evaluation.utility.run import measure_utility
    from cxr_pipeline.training.distributed import alone

    selection = selection_from(classifier.selection.model_dump(mode="json"))
    training = store_set(images, images.rows(split="train", selection=selection), "training")
    wanted = {
        "models": utility.models or evaluation.models,
        "samples": images_wanted(len(training), utility.shares),
    }
    own = evaluation.model_copy(update=wanted)
    sets = gather_sets(images, models, stores, stores_224, kept, own)
    with alone():
        found, table = measure_utility(
            sets.samples,
            training,
            sets.real,
            conditions(images.classes),
            classifier.model_dump(mode="json"),
            utility.model_dump(mode="json"),
            folder=arms,
            seed=evaluation.seed,
        )
    found.missing.extend(sets.missing)
    return found.record(), table
