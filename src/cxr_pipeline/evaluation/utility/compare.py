"""Whether an arm is better than another, beyond the luck of patients and seeds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.evaluation.image_sets import REAL
from cxr_pipeline.evaluation.ranking import auroc
from cxr_pipeline.evaluation.resampling import LEVEL, interval, multiplicities
from cxr_pipeline.evaluation.utility.arms import Arm
from cxr_pipeline.randomness import derive_seed

ALL = "all"
THIRDS = ("head", "medium", "tail")

GAIN, LOSS, NOISE, REFERENCE = "gain", "loss", "within noise", "reference"

COLUMNS = (
    "model", "arm", "share", "group", "auroc", "low", "high",
    "difference", "difference_low", "difference_high",
    "control", "over_control", "over_control_low", "over_control_high",
    "verdict", "seeds", "n",
)  # fmt: skip

FEWEST_SEEDS = 2
"""Of fewer nothing is known of their luck."""

NORMAL = 1.960
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""The 97.5 % quantiles of the normal distribution, and of Student's t by degrees of freedom from 1;
of more, the last stays on the safe side."""

Floats = npt.NDArray[np.float64]


class Luck(NamedTuple):
    """What bootstrap samples are drawn by, the same for all arms."""

    images: Floats
    """(R + 1, N): how often each image is in each draw; first each once, as they are."""
    seeds: npt.NDArray[np.int64]
    """(R, S - 1): which seeds are in each draw; of one seed (R, 1)."""
    widening: float
    """How much wider seeds scatter than so few of them show."""


def draw_luck(groups: npt.NDArray[np.int64], seeds: int, *, replicates: int, seed: int) -> Luck:
    """Draw patients and seeds, again and again.

    One seed fewer is drawn than there are: the mean of S - 1 of S draws with replacement scatters
    as the mean of S seeds does, that of S draws less. And the scatter of a few seeds is itself not
    sure, for which Student's t stands in place of the normal distribution.

    Args:
        groups: (N,), which patient each held-out image is of.
        seeds: How many there are, S.
        replicates: How many draws, R.
        seed: Decides the draws.
    """
    images = multiplicities(groups, replicates, derive_seed(seed, "utility/patients"))
    generator = np.random.default_rng(derive_seed(seed, "utility/seeds"))
    chosen = generator.integers(seeds, size=(replicates, max(1, seeds - 1)))
    assert LEVEL == 0.95
    widening = STUDENT[min(seeds - 1, len(STUDENT)) - 1] / NORMAL if seeds > 1 else 0.0
    return Luck(np.concatenate([np.ones((1, len(groups))), images]), chosen, widening)


def finding_areas(
    probabilities: npt.NDArray[np.float32], truths: npt.NDArray[np.bool_], luck: Luck
) -> Floats:
    """The areas under the ROC curves of an arm.

    Args:
        probabilities: (S, N, C), of each seed's classifier.
        truths: (N, C).
        luck: The draws.

    Returns:
        (S, R + 1, C); NaN where a draw holds no image with a finding, or none without.
    """
    return np.stack(
        [
            np.stack(
                [auroc(one[:, c], truths[:, c], luck.images) for c in range(truths.shape[1])],
                axis=-1,
            )
            for one in probabilities
        ]
    )


def mean_area(areas: Floats, columns: Sequence[int]) -> Floats:
    """Average areas over some findings, as far as a draw knows them: (S, R + 1)."""
    some = areas[:, :, list(columns)]
    known = np.isfinite(some)
    count = known.sum(axis=2)
    total = np.where(known, some, 0.0).sum(axis=2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def estimate(values: Floats, luck: Luck) -> tuple[float, float, float]:
    """Average over seeds, with the interval at 95 % over patients and seeds.

    Args:
        values: (S, R + 1), in each draw of patients what each seed gives; first without drawing.
        luck: The draws.

    Returns:
        The mean and the interval's ends.
    """
    value = float(values[:, 0].mean())
    draws = values[:, 1:]  # (S, R)
    means = draws.mean(axis=0)
    chosen = draws[luck.seeds, np.arange(draws.shape[1])[:, None]].mean(axis=1)
    return value, *interval(means + luck.widening * (chosen - means))


def by_frequency(counts: npt.NDArray[np.float64]) -> dict[str, list[int]]:
    """Part findings into thirds: those that most training images show, and so on.

    Args:
        counts: (C,), how many training images show each finding.

    Returns:
        Columns by `head`, `medium` and `tail`.
    """
    thirds = np.array_split(np.argsort(-counts, kind="stable"), len(THIRDS))
    return {name: sorted(third.tolist()) for name, third in zip(THIRDS, thirds, strict=True)}


def verdict(
    difference: tuple[float, float, float], over: tuple[float, float, float], seeds: int
) -> str:
    """Say whether an arm helps: only what is better than `real` and than the control does.

    Args:
        difference: To `real`, with its interval.
        over: To the control.
        seeds: Trainings of each arm.
    """
    if seeds < FEWEST_SEEDS:
        return NOISE
    if difference[1] > 0 and over[1] > 0:
        return GAIN
    return LOSS if difference[2] < 0 else NOISE


def compare(
    said: Mapping[Arm, npt.NDArray[np.float32]],
    truths: npt.NDArray[np.bool_],
    groups: Mapping[str, Sequence[int]],
    luck: Luck,
) -> pd.DataFrame:
    """Compare arms with `real` and with their controls.

    Args:
        said: (S, N, C) by arm: the probabilities that each seed's classifier gives the held-out
            images. `real` is among the arms.
        truths: (N, C), what these show.
        groups: Columns by the name of the group; those without any are left out.
        luck: The draws.

    Returns:
        `utility.csv`: a row an arm and group. Of an arm whose control is absent, nothing is said
        about it, and it is no gain.
    """
    areas = {arm: finding_areas(values, truths, luck) for arm, values in said.items()}
    by_name = {arm.name: arm for arm in said if arm.model == REAL}
    rows: list[tuple[Any, ...]] = []
    for name, columns in groups.items():
        if not columns:
            continue
        means = {arm: mean_area(values, columns) for arm, values in areas.items()}
        for arm, mean in means.items():
            own = estimate(mean, luck)
            to_real = over = (np.nan, np.nan, np.nan)
            word = REFERENCE
            if arm is not by_name[REAL]:
                to_real = estimate(mean - means[by_name[REAL]], luck)
                if arm.control in by_name:
                    over = estimate(mean - means[by_name[arm.control]], luck)
                word = verdict(to_real, over, len(mean))
            of_arm = (arm.model, arm.name, arm.share, name)
            counts = (len(mean), len(truths))
            rows.append((*of_arm, *own, *to_real, arm.control, *over, word, *counts))
    return pd.DataFrame(rows, columns=list(COLUMNS))
