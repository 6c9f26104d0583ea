"""The four trainings that are measured, with the parameters of `conf/base`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
import yaml

from cxr_pipeline.models.encoders import FEATURE_SIZE, FEATURES
from cxr_pipeline.training.feed import Feed, place, prefetching
from cxr_pipeline.training.models import MODELS
from cxr_pipeline.training.session import Session, begin
from cxr_pipeline.training.settings import Settings
from cxr_pipeline.training.task import Examples, Task

CONFIGURATION = Path(__file__).resolve().parents[1] / "conf/base"

NO_FOLDER = Path("no checkpoint is written here")
MANY_STEPS = 1_000_000
BATCH = 64

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gan": ("gan", {}),
    "vae": ("vae", {}),
    "gmvae v8, frozen": ("gmvae", {"version": "v8", "fine_tune": False}),
    "gmvae v8, fine-tuned": ("gmvae", {"version": "v8", "fine_tune": True}),
}
"""What is trained, by the names it has in tables: the model, and its parameters of this case."""


def parameters(case: str) -> dict[str, Any]:
    """A case's parameters as a run of the pipeline has them, in JSON's types."""
    model, own = CASES[case]
    sections: dict[str, Any] = {}
    for name in ("parameters.yml", "parameters_gmvae.yml"):
        sections |= yaml.safe_load((CONFIGURATION / name).read_text())
    found = {key: value for key, value in sections[model].items() if key != "selection"} | own
    if "versions" in found:
        found["row"] = found.pop("versions")[found["version"]]
    return found


def build_task(case: str) -> Task:
    """Build networks and optimisers as the engine does, with weights from torch's generator."""
    model, _ = CASES[case]
    values = parameters(case)
    return MODELS[model].build_task(MODELS[model].architecture(values, []), values)


def random_examples(case: str, images: int) -> Examples:
    """Noise in the form of a case's examples: how fast a step is does not depend on the images."""
    side = MODELS[CASES[case][0]].IMAGE_SIZE
    generator = torch.Generator().manual_seed(0)
    drawn = partial(torch.randint, 0, 256, dtype=torch.uint8, generator=generator)
    examples = {"pixels": drawn((images, 1, side, side)), "findings": torch.zeros(images, 0)}
    if case == "gmvae v8, frozen":
        shape = (images, FEATURES["vgg16"], FEATURE_SIZE, FEATURE_SIZE)
        examples["features"] = torch.rand(shape, generator=generator).half()
    return examples


def settings(case: str, **changes: Any) -> Settings:
    """The engine's settings of a case: those of `conf/base`, but for changes."""
    values = parameters(case)
    names = (
        "batch_size", "seed", "accelerator", "precision", "log_every", "checkpoint_every",
        "keep_checkpoints", "data_placement", "compile", "ema_decay", "gradient_clip",
        "learning_rate_warmup",
    )  # fmt: skip
    given = {name: values[name] for name in names}
    given |= {"sample_at": tuple(values["sample_at"]), "samples": 64, "resume": False}
    return Settings(**given | changes)


@contextmanager
def bare_steps(
    case: str, examples: Examples | None = None, **changes: Any
) -> Iterator[tuple[Session, Callable[[], None]]]:
    """Set a case up as the engine does, to take steps with nothing between them.

    Args:
        case: One of `CASES`.
        examples: What to train on; noise if not given.
        changes: Of the settings.

    Yields:
        The session, and what takes its next step; `Session.read` waits for the device.
    """
    torch.backends.cudnn.deterministic = True  # as in `engine.train`
    chosen = settings(case, **{"steps": MANY_STEPS, **changes})
    session = begin(partial(build_task, case), chosen, NO_FOLDER, {}, {})
    device = session.fabric.device
    if examples is None:
        examples = random_examples(case, 2 * chosen.batch_size)
    placed = place(examples, device, chosen.data_placement)
    feed = Feed(placed, session.task.noise, chosen.batch_size, chosen.seed, device)
    numbers = count(1)
    with prefetching(feed, chosen.steps) as batch:

        def step() -> None:
            number = next(numbers)
            session.step(batch(number), number)

        yield session, step
