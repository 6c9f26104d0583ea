from pathlib import Path

import numpy as np
import pytest

from cxr_pipeline.training.engine import Settings, Watchers
from cxr_pipeline.training.lsgan import LsganTask


@pytest.fixture(scope="session")
def images():
    """Twelve blurred random pictures."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


@pytest.fixture
def build_task():
    def build():
        return LsganTask(
            dim_z=16, patch_scores=True, learning_rate=2e-4, betas=(0.5, 0.999), generator_steps=3
        )

    return build


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
