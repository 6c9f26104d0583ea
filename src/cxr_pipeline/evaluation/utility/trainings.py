"""One training of one arm: what it follows from, and what it says of the held-out images, kept."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cxr_pipeline.data.files import json_digest, write_array, write_json
from cxr_pipeline.evaluation.utility.arms import Arm
from cxr_pipeline.evaluation.utility.pools import (
    Pool,
    rarity_weights,
    real_examples,
    synthetic_examples,
)
from cxr_pipeline.training.classifier import ImageClassifier, TrainedClassifier, train_classifier
from cxr_pipeline.training.precision import choose_precision
from cxr_pipeline.training.run import own_identity
from cxr_pipeline.training.task import Examples, first_examples

FORMAT = 1

CHECKPOINTS = "checkpoints"

LOOKED_AT = 2
"""Images that the engine looks at a training with, once an epoch: nothing is asked of that here."""


@dataclass(frozen=True)
class Study:
    """What all trainings have in common."""

    entries: tuple[str, ...]
    parameters: Mapping[str, Any]
    """`ClassifierParameters`, in JSON's types, with the utility's epochs."""
    real: Pool
    """Training images."""
    test: Pool
    """Held out."""
    synthetic: Mapping[str, Pool]
    """By model."""
    folder: Path
    """For checkpoints and what is kept."""
    plain: Arm
    """`real`: who guesses the findings of images without a label."""
    trained: dict[str, TrainedClassifier] = field(default_factory=dict)
    """Those that others may go on from, by the digest of what they follow from."""


def seed_of(study: Study, number: int) -> int:
    """The seed of the arms' n-th trainings."""
    return int(study.parameters["seed"]) + number


def follows_from(study: Study, arm: Arm, seed: int) -> dict[str, Any]:
    """All that a training follows from, in JSON's types: of the same, the same comes again."""
    synthetic = study.synthetic[arm.model] if arm.synthetic else None
    guessed = synthetic is not None and not synthetic.complete
    parameters = _parameters(study, arm, seed)
    return {
        "format": FORMAT,
        "images": {
            "real": [study.real.digest, arm.real, arm.again],
            "synthetic": [synthetic.digest, arm.synthetic] if synthetic else None,
        },
        "reweight": arm.reweight,
        "first": json_digest(follows_from(study, arm.first, seed)) if arm.first else None,
        "guessed_by": json_digest(follows_from(study, study.plain, seed)) if guessed else None,
        "test": study.test.digest,
        "parameters": {
            **own_identity(parameters),
            "epochs": parameters["epochs"],
            "precision": choose_precision(parameters["precision"], parameters["accelerator"]),
        },
    }


def kept_probabilities(study: Study, arm: Arm, seed: int) -> npt.NDArray[np.float32] | None:
    """What a training that is over said of the held-out images: (N, C); `None` before."""
    key = follows_from(study, arm, seed)
    record = _kept(study, key).with_suffix(".json")
    if not record.is_file() or json.loads(record.read_text()) != key:
        return None
    kept: npt.NDArray[np.float32] = np.load(_kept(study, key), allow_pickle=False)
    return kept


def probabilities(study: Study, arm: Arm, seed: int) -> npt.NDArray[np.float32]:
    """Train an arm, or go on with it, and keep what it says of the held-out images.

    Its checkpoints stay: others may go on from it, see `forget`.

    Returns:
        (N, C) float32.

    Raises:
        NotFiniteError: If it comes to no end.
        KeyboardInterrupt: On Ctrl-C, once the step has ended and is saved.
    """
    said = _judge(study, _train(study, arm, seed)).probabilities(study.test.pixels[:, 0].numpy())
    key = follows_from(study, arm, seed)
    write_array(_kept(study, key), said)
    write_json(_kept(study, key).with_suffix(".json"), key)
    return said


def forget(study: Study, arm: Arm, seed: int) -> None:
    """Remove a training's checkpoints: nothing goes on from it any more."""
    key = follows_from(study, arm, seed)
    study.trained.pop(json_digest(key), None)
    shutil.rmtree(_checkpoints(study, key), ignore_errors=True)


def forget_all(study: Study) -> None:
    """Remove all checkpoints, those of other parameters that were never gone on from too."""
    study.trained.clear()
    shutil.rmtree(study.folder / CHECKPOINTS, ignore_errors=True)


def _train(study: Study, arm: Arm, seed: int) -> TrainedClassifier:
    key = follows_from(study, arm, seed)
    digest = json_digest(key)
    if digest not in study.trained:
        examples = _examples(study, arm, seed)
        first = _train(study, arm.first, seed).weights if arm.first else None
        study.trained[digest] = train_classifier(
            examples,
            first_examples(examples, LOOKED_AT),
            study.entries,
            _parameters(study, arm, seed),
            checkpoints=_checkpoints(study, key),
            identity={"follows_from": digest},
            on_metrics=lambda step, metrics: None,
            reuse=True,
            first_weights=first,
            positive_weights=rarity_weights(study.real.findings) if arm.reweight else None,
        )
    return study.trained[digest]


def _examples(study: Study, arm: Arm, seed: int) -> Examples:
    parts = [real_examples(arm, study.real, seed)]
    if arm.synthetic:

        def guess(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            return _judge(study, _train(study, study.plain, seed)).probabilities(pixels)

        parts.append(synthetic_examples(arm, study.synthetic[arm.model], seed, guess))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _judge(study: Study, trained: TrainedClassifier) -> ImageClassifier:
    return ImageClassifier(
        trained.config, trained.weights, accelerator=study.parameters["accelerator"]
    )


def _parameters(study: Study, arm: Arm, seed: int) -> dict[str, Any]:
    own = {"augment": arm.augment, "seed": seed, "max_steps": None, "resume": "auto"}
    return {**study.parameters, **own}


def _kept(study: Study, key: Mapping[str, Any]) -> Path:
    return study.folder / "kept" / f"{json_digest(key)[:16]}.npy"


def _checkpoints(study: Study, key: Mapping[str, Any]) -> Path:
    return study.folder / CHECKPOINTS / json_digest(key)[:16]
