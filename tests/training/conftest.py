from functools import partial
from pathlib import Path

import pytest
import torch
from tests.training.tasks import coarse_pictures, examples_of, gan_task, vae_task

from cxr_pipeline.training.checkpoint import mark_finished
from cxr_pipeline.training.engine import train
from cxr_pipeline.training.settings import Settings
from cxr_pipeline.training.watching import HeldOut, Watchers

IDENTITY = {"model": "gan", "image_store": "abc"}

KINDS = {
    "gan": gan_task,
    "conditional gan": partial(gan_task, findings=2),
    "vae": vae_task,
}


def findings_of(kind, count):
    """Two findings in turn, of models that are told them."""
    entries = 2 if kind == "conditional gan" else 0
    return torch.eye(2)[torch.arange(count) % 2][:, :entries]


@pytest.fixture(autouse=True)
def first_weights():
    """Networks that a test builds itself begin the same each time."""
    torch.manual_seed(0)


@pytest.fixture
def settings():
    def make(**changes):
        defaults = {
            "steps": 4,
            "batch_size": 4,
            "seed": 0,
            "accelerator": "cpu",
            "precision": "32-true",
            "log_every": 2,
            "checkpoint_every": 100,
            "sample_at": (),
            "samples": 2,
            "resume": "auto",
        }
        return Settings(**defaults | changes)

    return make


@pytest.fixture
def watchers():
    return Watchers(on_metrics=lambda step, metrics: None, on_samples=lambda step, drawn: None)


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"


@pytest.fixture
def run(checkpoints, watchers):
    """Train on twelve pictures, three batches an epoch, and look with four others."""

    def run(settings, kind="gan", build_task=None, held_out=1, **changes):
        examples = examples_of(coarse_pictures(12), findings_of(kind, 12))
        others = examples_of(coarse_pictures(4, seed=held_out), findings_of(kind, 4))
        arguments = {"checkpoints": checkpoints, "identity": IDENTITY, "watchers": watchers}
        arguments |= changes
        outcome = train(
            build_task or KINDS[kind],
            examples,
            HeldOut(others, "validation"),
            settings,
            **arguments,
        )
        # As whoever keeps the outcome does.
        mark_finished(arguments["checkpoints"])
        return outcome

    return run
