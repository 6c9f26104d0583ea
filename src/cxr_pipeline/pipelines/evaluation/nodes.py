"""Nodes that score models against real images held out, audit them, and export their samples.

As in `pipelines/training/nodes.py`, what needs torch is imported by the functions that need it.
"""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline import tracking
from cxr_pipeline.data.labelled_sheets import labelled_sheet
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.parameters.evaluation import (
    ClassifierParameters,
    EvaluationParameters,
    UtilityParameters,
)

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
    judge = _judge(config, weights, classifier)
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


def gather_sets(
    images: ImageStore,
    models: Path,
    stores: Path,
    stores_224: Path,
    kept: Path,
    parameters: EvaluationParameters,
    *trained_before: object,
) -> Any:
    """Gather real images held out, training images, and images of every model and folder.

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
    from cxr_pipeline.evaluation.fidelity.measure import measure_fidelity as measure
    from cxr_pipeline.evaluation.kept_features import kept_features
    from cxr_pipeline.evaluation.measured import Missing

    extractors, obstacles = build_extractors(
        evaluation.extractors,
        classifier=_judge(config, weights, classifier),
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
    )
    found.missing.extend(
        Missing(one.name, f"fidelity/frechet_distance/{name}", reason)
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

    judge = _judge(config, weights, classifier)
    found, table = agreement(
        [*sets.samples, sets.real],
        judge.probabilities,
        judge.entries,
        classifier=judge.sha256,
        replicates=evaluation.replicates,
        seed=evaluation.seed,
    )
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

    judge = _judge(config, weights, classifier)
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
    from cxr_pipeline.evaluation.evaluated import store_set
    from cxr_pipeline.evaluation.utility.arms import images_wanted
    from cxr_pipeline.evaluation.utility.run import measure_utility
    from cxr_pipeline.training.distributed import alone

    training = store_set(images, images.rows(split="train"), "training")
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
    return found.record(), table


def gather_scores(
    reports: Path, models: Path, evaluation: EvaluationParameters, *found: Record
) -> tuple[pd.DataFrame, Record]:
    """Put together what all parts found, those of earlier runs too where they still hold.

    Args:
        reports: The reporting folder, whose `evaluation` folder has what each part found.
        models: The models' folder, to see which findings are out of date.
        evaluation: The release gate.
        found: Nothing but what has to be there first.
    """
    from cxr_pipeline.evaluation.kept_files import read_json
    from cxr_pipeline.evaluation.measured import findings_from
    from cxr_pipeline.evaluation.scorecard import gather

    parts = [findings_from(read_json(path)) for path in sorted(reports.glob("evaluation/*.json"))]
    scores, facts = gather(parts, models, max_memorised=evaluation.max_memorised)
    for model, rows in scores.groupby("model"):
        with tracking.nested_run(f"scores of {model}", {}):
            tracking.log_metrics(0, dict(zip(rows["metric"], rows["value"], strict=True)))
    return scores, facts


def write_cards(reports: Path, models: Path, *written_before: object) -> None:
    """Write a model card and a data sheet beside each model's weights."""
    from cxr_pipeline.evaluation.cards import write_cards as write

    write(reports, models)


def export_audited(
    sets: Any,
    flags: Mapping[str, npt.NDArray[np.bool_]],
    found: Record,
    reports: Path,
    parameters: EvaluationParameters,
    released: Path,
    report: object,
) -> None:
    """Export each model's samples as a data set, unless too many are copies: the release gate.

    Raises:
        ValueError: If a model's share of copies is above `evaluation.max_memorised`; the others are
            exported all the same.
    """
    from cxr_pipeline.evaluation.cards import data_sheet
    from cxr_pipeline.evaluation.memorisation.release import release_sets
    from cxr_pipeline.evaluation.score_files import read_scores

    scores = read_scores(reports)
    release_sets(
        sets.samples,
        flags,
        found,
        released,
        max_memorised=parameters.max_memorised,
        leave_out=parameters.leave_out_memorised,
        describe=lambda config, provenance: data_sheet(config, scores, provenance),
    )


def _judge(config: Record, weights: Record, classifier: ClassifierParameters) -> Any:
    """The classifier that is kept, on the device that it is trained on."""
    from cxr_pipeline.training.classifier import ImageClassifier

    return ImageClassifier(config, weights, accelerator=classifier.accelerator)


def _macro(scores: pd.DataFrame) -> dict[str, float]:
    mean = scores[scores["finding"] == "mean"]
    named = zip(mean["metric"], mean["value"].astype(float), strict=True)
    return {f"classifier/{metric}": value for metric, value in named}
