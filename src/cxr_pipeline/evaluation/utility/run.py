"""Whether synthetic images help to train a classifier: all arms, all seeds, one table."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.evaluation.image_sets import REAL, ImageSet
from cxr_pipeline.evaluation.measured import Findings, Measured, Missing
from cxr_pipeline.evaluation.utility.arms import FEWEST, Arm, real_arms, synthetic_arms
from cxr_pipeline.evaluation.utility.compare import (
    ALL,
    COLUMNS,
    FEWEST_SEEDS,
    REFERENCE,
    THIRDS,
    by_frequency,
    compare,
    draw_luck,
)
from cxr_pipeline.evaluation.utility.pools import labelled_only, pool_of
from cxr_pipeline.evaluation.utility.trainings import (
    Study,
    forget,
    forget_all,
    kept_probabilities,
    probabilities,
    seed_of,
)
from cxr_pipeline.training.updates import NotFiniteError

logger = logging.getLogger(__name__)

ASKED = "what they were asked for"
GUESSED = "guessed by the classifier of the arm real, which has seen training patients alone"

Said = dict[Arm, npt.NDArray[np.float32]]
"""(S, N, C) by arm: what each seed's classifier says of the held-out images."""


def measure_utility(
    sets: Sequence[ImageSet],
    training: ImageSet,
    test: ImageSet,
    entries: Sequence[str],
    classifier: Mapping[str, Any],
    utility: Mapping[str, Any],
    *,
    folder: Path,
    seed: int,
) -> tuple[Findings, pd.DataFrame]:
    """Train a classifier on each arm, from several seeds, and compare them on held-out patients.

    What each training says is kept: a run that was stopped goes on with the training that it was
    in, and of the same images and parameters nothing is trained again.

    Args:
        sets: Each model's images, `images_wanted` of them; their labels are what they were asked
            for, blank where they were asked for nothing.
        training: Real images to train on.
        test: Real images of other patients.
        entries: The findings' names, C.
        classifier: `ClassifierParameters`, in JSON's types; `augment`, `epochs`, `max_steps` and
            `resume` are not asked, and its seed is that of the first training of each arm.
        utility: `UtilityParameters`, in JSON's types.
        folder: For checkpoints and what is kept; this call's alone.
        seed: Decides the bootstrap.

    Returns:
        What was found; `utility.csv`.

    Raises:
        ValueError: If the real images cannot be trained on.
        KeyboardInterrupt: On Ctrl-C, once a step has ended and is saved.
    """
    known, held_out = labelled_only(training), labelled_only(test)
    if len(known) < FEWEST:
        raise ValueError(
            f"{len(known)} real training images have labels: utility needs {FEWEST} or more"
        )
    size, shares = classifier["image_size"], utility["shares"]
    arms = real_arms(len(known), shares)
    missing: list[Missing] = []
    for images in sets:
        own, left_out = synthetic_arms(images.name, len(known), len(images), shares)
        arms += own
        missing += left_out
    study = Study(
        entries=tuple(entries),
        parameters={**classifier, "epochs": utility["epochs"]},
        real=pool_of(known, entries, size),
        test=pool_of(held_out, entries, size),
        synthetic={images.name: pool_of(images, entries, size) for images in sets},
        folder=folder,
        plain=arms[0],
    )
    truths = study.test.findings.numpy() > 0
    groups = _groups(study, truths)
    facts = _facts(study, arms) | {
        "seeds": utility["seeds"],
        "test_patients": len(np.unique(held_out.groups)),
        "without_label": {
            "training": len(training) - len(known),
            "test": len(test) - len(held_out),
        },
    }
    subjects = {images.name: _digest(images, study) for images in sets}
    missing += _untestable(entries, truths, groups)
    if not groups[ALL]:
        reason = f"the {len(truths)} held-out images do not differ in any finding: hold out more"
        missing += [Missing(arm.model, f"utility/{arm.name}", reason) for arm in arms[1:]]
        empty = pd.DataFrame(columns=list(COLUMNS))
        return Findings("utility", subjects, [], missing, facts), empty
    if utility["seeds"] < FEWEST_SEEDS:
        logger.warning("utility.seeds=1 cannot tell a gain from luck: set utility.seeds=3 or more")
    said, failed = _train_all(study, arms, utility["seeds"])
    luck = draw_luck(held_out.groups, utility["seeds"], replicates=utility["replicates"], seed=seed)
    table = compare(said, truths, groups, luck)
    return Findings("utility", subjects, _rows(table), missing + failed, facts), table


def _groups(study: Study, truths: npt.NDArray[np.bool_]) -> dict[str, list[int]]:
    """Columns of the findings in each group, as far as held-out images differ in them."""
    present = [c for c, column in enumerate(truths.T) if column.any() and not column.all()]
    thirds = by_frequency(study.real.findings.sum(dim=0).numpy())
    return {
        ALL: present,
        **{name: [c for c in third if c in present] for name, third in thirds.items()},
        **{study.entries[c]: [c] for c in present},
    }


def _untestable(
    entries: Sequence[str], truths: npt.NDArray[np.bool_], groups: Mapping[str, Sequence[int]]
) -> list[Missing]:
    absent = {
        name: f"{'all' if column.any() else 'none'} of {len(truths)} held-out images show {name}"
        for name, column in zip(entries, truths.T, strict=True)
        if name not in groups
    }
    whole = {name: f"no {name} finding can be tested" for name in THIRDS if not groups[name]}
    return [
        Missing(REAL, f"utility/{name}", f"{reason}: hold out more patients")
        for name, reason in (absent | whole).items()
    ]


def _train_all(study: Study, arms: Sequence[Arm], seeds: int) -> tuple[Said, list[Missing]]:
    """Train what is not kept yet, seed by seed, and tell how long it is going to take."""
    numbers = [seed_of(study, number) for number in range(seeds)]
    said = {arm: [kept_probabilities(study, arm, seed) for seed in numbers] for arm in arms}
    left = sum(arm.seen for arm, kept in said.items() for one in kept if one is None)
    count = sum(one is None for kept in said.values() for one in kept)
    logger.info(
        "Utility: %d trainings of %d arms from %d seeds, %d of them to do",
        len(arms) * seeds,
        len(arms),
        seeds,
        count,
    )
    failed: dict[Arm, str] = {}
    seconds, seen, done = 0.0, 0, 0
    for place, seed in enumerate(numbers):
        for arm in arms:
            if said[arm][place] is not None or arm in failed:
                continue
            began = time.perf_counter()
            try:
                said[arm][place] = probabilities(study, arm, seed)
            except NotFiniteError as error:
                if arm is study.plain:
                    raise
                failed[arm] = str(error)
                logger.warning("Utility: %s of %s is left out: %s", arm.name, arm.model, error)
            if not _goes_on(arm, arms):
                forget(study, arm, seed)
            seconds += time.perf_counter() - began
            seen += arm.seen
            done += 1
            logger.info(
                "Utility: trained %d of %d (%s of %s, seed %d), about %.0f s left",
                done,
                count,
                arm.name,
                arm.model,
                seed,
                seconds / seen * (left - seen),
            )
        for arm in arms:
            forget(study, arm, seed)
    forget_all(study)
    missing = [Missing(arm.model, f"utility/{arm.name}", reason) for arm, reason in failed.items()]
    return {
        arm: np.stack([one for one in kept if one is not None])
        for arm, kept in said.items()
        if arm not in failed
    }, missing


def _goes_on(arm: Arm, arms: Iterable[Arm]) -> bool:
    """Whether other arms begin with an arm's classifier, or have it guess their findings."""
    return arm.name == REAL or any(
        other.first and (other.first.model, other.first.name) == (arm.model, arm.name)
        for other in arms
    )


def _rows(table: pd.DataFrame) -> list[Measured]:
    rows = table[(table["group"] == ALL) & (table["verdict"] != REFERENCE)]
    columns = ["difference", "difference_low", "difference_high", "n"]
    return [
        Measured(model, f"utility/{arm}", float(value), float(low), float(high), int(n))
        for model, arm, (value, low, high, n) in zip(
            rows["model"], rows["arm"], rows[columns].to_numpy(), strict=True
        )
    ]


def _digest(images: ImageSet, study: Study) -> str:
    """What is looked at: a model's weights, or a folder."""
    return str(images.facts.get("digest") or study.synthetic[images.name].digest)


def _facts(study: Study, arms: Sequence[Arm]) -> dict[str, Any]:
    thirds = by_frequency(study.real.findings.sum(dim=0).numpy())
    return {
        "network": study.parameters["network"],
        "image_size": study.parameters["image_size"],
        "epochs": study.parameters["epochs"],
        "training_images": len(study.real.pixels),
        "test_images": len(study.test.pixels),
        "findings": {name: [study.entries[c] for c in third] for name, third in thirds.items()},
        "labels": {
            name: ASKED if pool.complete else GUESSED for name, pool in study.synthetic.items()
        },
        "shortened": {
            f"{arm.model}/{arm.name}": f"{arm.synthetic} of {arm.wanted} images"
            for arm in arms
            if arm.synthetic < arm.wanted
        },
    }
