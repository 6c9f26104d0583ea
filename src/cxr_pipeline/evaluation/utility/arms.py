"""What classifiers are trained on to see whether synthetic images help: the arms."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cxr_pipeline.evaluation.image_sets import REAL
from cxr_pipeline.evaluation.measured import Missing
from cxr_pipeline.randomness import derive_seed

FEWEST = 2
"""Images that a classifier can be trained on."""


@dataclass(frozen=True)
class Arm:
    """Which images a classifier is trained on, and how."""

    model: str
    """Whose images are added; `real` where none are."""
    name: str
    share: float = 0.0
    """Images that are added, as a share of the real training images."""
    real: int = 0
    """Real images, each once an epoch."""
    again: int = 0
    """Real images drawn again."""
    synthetic: int = 0
    wanted: int = 0
    """Synthetic images that it would have if there were enough."""
    augment: bool = False
    """Whether images are shifted, turned and scaled a little."""
    reweight: bool = False
    """Whether rare findings weigh more."""
    first: "Arm | None" = None
    """What it is trained on before."""
    control: str = REAL
    """The arm of real images that it has to be better than, too."""

    @property
    def seen(self) -> int:
        """Images looked at in an epoch, of what comes first and of its own together."""
        before = self.first.seen if self.first else 0
        return before + self.real + self.again + self.synthetic


def real_arms(images: int, shares: Sequence[float]) -> list[Arm]:
    """List the arms without synthetic images, `real` first.

    Args:
        images: Real training images.
        shares: How many images other arms add, as shares of the real ones.
    """
    return [
        Arm(REAL, REAL, real=images),
        *_duplicated(images, shares),
        Arm(REAL, "augmented", real=images, augment=True),
        Arm(REAL, "reweighted", real=images, reweight=True),
    ]


def synthetic_arms(
    model: str, images: int, available: int, shares: Sequence[float]
) -> tuple[list[Arm], list[Missing]]:
    """List the arms with a model's images.

    An arm that wants more of them than there are takes what there is; of those that would be the
    same for that, only the first is kept.

    Args:
        model: The model's name.
        images: Real training images.
        available: Images of the model.
        shares: How many images to add, as shares of the real ones.

    Returns:
        The arms; those that are left out.
    """
    wanted = {f"synthetic_{_percent(share)}": _count(images, share) for share in _ascending(shares)}
    if available < FEWEST:
        reason = f"{model} has {available} images to train on, {FEWEST} are needed: draw more"
        names = [*wanted, "synthetic_only", "pretrained"]
        return [], [Missing(model, f"utility/{name}", reason) for name in names]
    arms: list[Arm] = []
    missing: list[Missing] = []
    for name, count in wanted.items():
        taken = min(count, available)
        if arms and arms[-1].synthetic == taken:
            reason = (
                f"{model} has {available} images, {count} are wanted: with these it would be "
                f"{arms[-1].name} again; draw {count}"
            )
            missing.append(Missing(model, f"utility/{name}", reason))
        else:
            arms.append(
                Arm(model, name, taken / images, real=images, synthetic=taken, wanted=count)
            )
    taken = min(images, available)
    only = Arm(model, "synthetic_only", taken / images, synthetic=taken, wanted=images)
    arms += [only, Arm(model, "pretrained", only.share, real=images, first=only)]
    controls = [Arm(REAL, REAL, real=images), *_duplicated(images, shares)]
    return [_controlled(arm, controls) for arm in arms], missing


def images_wanted(images: int, shares: Sequence[float]) -> int:
    """Count the images of a model that all its arms can be made of.

    Args:
        images: Real training images.
        shares: How many images to add, as shares of the real ones.
    """
    return max(images, _count(images, max(shares)))


def drawn(count: int, available: int, seed: int, stream: str) -> npt.NDArray[np.int64]:
    """Draw images, none again before each has been drawn; of more images, the same and others.

    Args:
        count: How many to draw, n.
        available: Among how many.
        seed: Decides the draw, with the stream.
        stream: What is drawn.

    Returns:
        (n,) positions.
    """
    generator = np.random.default_rng(derive_seed(seed, stream))
    rounds = [generator.permutation(available) for _ in range(-(-count // available))]
    return np.concatenate([np.empty(0, dtype=np.int64), *rounds])[:count]


def _duplicated(images: int, shares: Sequence[float]) -> list[Arm]:
    return [
        Arm(
            REAL,
            f"duplicated_{_percent(share)}",
            _count(images, share) / images,
            real=images,
            again=_count(images, share),
        )
        for share in _ascending(shares)
    ]


def _controlled(arm: Arm, controls: Sequence[Arm]) -> Arm:
    """Name the control: the arm of real images whose training is as long, or nearest to it.

    What a longer training brings by itself, it brings there, too.
    """
    nearest = min(controls, key=lambda control: abs(control.seen - arm.seen))
    return replace(arm, control=nearest.name)


def _ascending(shares: Sequence[float]) -> list[float]:
    return sorted(set(shares))


def _percent(share: float) -> str:
    return f"{100 * share:g}"


def _count(images: int, share: float) -> int:
    return max(1, round(images * share))
