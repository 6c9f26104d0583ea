"""The losses of each model's first twenty steps, and of the same steps now.

python -m tests.golden.losses gan          prints them as JSON
python -m tests.golden.losses --write      makes losses.json anew, after a change that is meant
                                           to change them
"""

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("losses.json")
MODELS = ("gan", "vae", "gmvae")
STEPS = 20
RATE = 1e-5
"""Low, or the GAN's losses would multiply the last digits of sums until they are the first."""

# One thread and instructions that every x86-64 machine of the last ten years has.
PINNED = {
    "OMP_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
    "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
}


def machine() -> dict[str, str]:
    """What the last digits depend on, all else being pinned."""
    import torch

    from cxr_pipeline.training.record import processor

    return {"torch": torch.__version__, "processor": processor()}


def losses_now(model: str) -> dict[str, list[float]]:
    """Train a model in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden.losses", model],
        env=os.environ | PINNED,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def train_here(model: str) -> dict[str, list[float]]:
    """Train a model for twenty steps in fp32; its losses by metric."""
    import torch
    from tests.training.tasks import coarse_pictures, examples_of, gan_task, gmvae_case, vae_task

    from cxr_pipeline.training.engine import train
    from cxr_pipeline.training.settings import Settings
    from cxr_pipeline.training.watching import HeldOut, Watchers

    torch.set_num_threads(1)
    examples = examples_of(coarse_pictures(16))
    build = {
        "gan": partial(gan_task, dim_z=100, learning_rate=RATE),
        "vae": partial(vae_task, dim_z=64, learning_rate=RATE),
    }.get(model)
    if build is None:
        build, examples = gmvae_case(16)
    settings = Settings(
        steps=STEPS,
        batch_size=8,
        seed=0,
        accelerator="cpu",
        precision="32-true",
        log_every=10,
        checkpoint_every=1000,
        sample_at=(),
        samples=1,
        resume=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(
            build,
            examples,
            HeldOut({name: t[:4] for name, t in examples.items()}, "train"),
            settings,
            checkpoints=Path(folder),
            identity={},
            watchers=Watchers(lambda *_: None, lambda *_: None),
        )
    found: dict[str, list[float]] = {}
    for _, metric, value in outcome.history:
        if metric.startswith("loss/"):
            found.setdefault(metric, []).append(value)
    return found


if __name__ == "__main__":
    if sys.argv[1] == "--write":
        golden = {"made_on": machine(), **{model: losses_now(model) for model in MODELS}}
        GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
    else:
        sys.stdout.write(json.dumps(train_here(sys.argv[1])))
