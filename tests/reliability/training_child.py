"""Trains a model in a process of its own, which says after each step that it is done, to be killed.

python -m tests.reliability.training_child MODEL CHECKPOINTS
"""

import sys
from functools import partial
from pathlib import Path

from tests.training.tasks import coarse_pictures, examples_of, gan_task, gmvae_case, vae_task

from cxr_pipeline.training.checkpoint import mark_finished
from cxr_pipeline.training.engine import train
from cxr_pipeline.training.settings import Settings
from cxr_pipeline.training.watching import HeldOut, Watchers

STEPS = 8


def main(model: str, checkpoints: Path) -> None:
    findings = {"gan": 2}.get(model, 0)
    build, examples = gmvae_case(6, findings=2)
    if model != "gmvae":
        examples = examples_of(coarse_pictures(6), examples["findings"][:, :findings])
        build = partial(gan_task, findings=2) if model == "gan" else vae_task

    def say(step, metrics):
        sys.stdout.write(f"{step}\n")
        sys.stdout.flush()

    train(
        build,
        examples,
        HeldOut({name: t[:2] for name, t in examples.items()}, "train"),
        Settings(
            steps=STEPS,
            batch_size=3,
            seed=0,
            accelerator="cpu",
            precision="bf16-mixed",
            log_every=1,
            checkpoint_every=2,
            sample_at=(),
            samples=1,
            resume="auto",
            ema_decay=0.9,
        ),
        checkpoints=checkpoints,
        identity={"model": model},
        watchers=Watchers(say, lambda *_: None),
    )
    mark_finished(checkpoints)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
