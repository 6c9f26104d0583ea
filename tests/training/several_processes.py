"""What each of several processes does in `test_distributed.py`, started by torchrun.

python -m tests.training.several_processes FOLDER
"""

import json
import sys
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from tests.training.tasks import coarse_pictures, examples_of, gan_task, vae_task
from tests.training.test_gmvae import make_examples, make_task
from torch import nn

from cxr_pipeline.training.distributed import agreed_signal, alone, join, processes
from cxr_pipeline.training.engine import train
from cxr_pipeline.training.feed import Feed
from cxr_pipeline.training.session import begin
from cxr_pipeline.training.settings import Settings
from cxr_pipeline.training.synchronised import synchronise
from cxr_pipeline.training.watching import HeldOut, Watchers

KINDS = {
    "gan": partial(gan_task, generator_steps=2),
    "vae": vae_task,
    "vae of the authors": partial(vae_task, scaling="authors"),
    "gmvae": make_task,
    "gmvae with findings": partial(make_task, findings=2),
}
STEPS = 3


def main(folder):
    join()
    rank = torch.distributed.get_rank()
    own = folder / str(rank)
    own.mkdir()
    share = 4 // processes()
    save_file(layers(slice(rank * share, (rank + 1) * share)), own / "layers.safetensors")
    # Only the last process got a signal; where they do not meet none stops.
    signal = 15 if rank == processes() - 1 else None
    agreed = [agreed_signal(signal, meeting=meeting) for meeting in (False, True)]
    (own / "signals.json").write_text(json.dumps(agreed))
    for kind in KINDS:
        take_steps(kind, own / kind)
    train_gan(own / "whole", own)
    # A checkpoint is for all of them.
    train_gan(folder / "checkpoint", own, steps=2)
    train_gan(folder / "checkpoint", own, resume=True)
    # Each with checkpoints of its own: only those of rank 0 are there.
    try:
        train_gan(own / "whole", own, steps=STEPS + 1, resume="auto" if rank else True)
    except ValueError as error:
        (own / "apart.txt").write_text(str(error))
    if rank == 0:
        with alone():
            train_gan(folder / "alone", own, seed=1)
    torch.distributed.destroy_process_group()


def settings(**changes):
    defaults = {
        "steps": STEPS,
        "batch_size": 4,
        "seed": 0,
        "accelerator": "cpu",
        "precision": "32-true",
        "log_every": 2,
        "checkpoint_every": 1,
        "sample_at": (0, 1),
        "samples": 2,
        "resume": "auto",
    }
    return Settings(**defaults | changes)


def take_steps(kind, folder):
    """Take steps in float64, in which two ways to add the same numbers end alike."""
    folder.mkdir(parents=True, exist_ok=True)
    examples = data(kind, 8)
    doubled = settings(precision="64-true")
    session = begin(partial(smooth, KINDS[kind]), doubled, folder / "checkpoint", {}, {})
    fabric = session.fabric
    feed = Feed(
        examples,
        session.task.noise,
        doubled.batch_size,
        doubled.seed,
        fabric.device,
        rank=fabric.global_rank,
        processes=fabric.world_size,
    )
    before = state_of(session)
    for step in range(1, STEPS + 1):
        session.step(feed.batch(step), step)
    session.read()
    keep(folder / "after", state_of(session), session.history)
    keep(folder / "before", before, [])


def state_of(session):
    return {
        f"{network}.{name}": tensor.clone(memory_format=torch.contiguous_format)
        for network, module in session.networks.items()
        for name, tensor in module.state_dict().items()
    }


def train_gan(checkpoints, folder, **changes):
    """Train as a run does, with its looks; keep what it made and what it told."""
    told = []
    made = train(
        KINDS["gan"],
        data("gan", 8),
        HeldOut(data("gan", 3), "validation"),
        settings(ema_decay=0.5, **changes),
        checkpoints=checkpoints,
        identity={"model": "gan"},
        watchers=Watchers(
            on_metrics=lambda step, metrics: told.append(step),
            on_samples=lambda step, drawn: told.append(step),
        ),
    )
    keep(folder / "_".join(["made", *changes]), made.weights, made.history, told)


def data(kind, count):
    if kind.startswith("gmvae"):
        return make_examples(count, findings=2 if "findings" in kind else 0)
    return examples_of(coarse_pictures(count))


def keep(path, weights, history, told=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path.with_suffix(".safetensors"))
    path.with_suffix(".json").write_text(json.dumps({"history": history, "told": list(told)}))


def smooth(build_task):
    """Let Adam's steps follow the gradient where it is next to nothing.

    There they would take its sign, which is that of a rounding error.
    """
    task = build_task()
    for optimizer in task.optimizers.values():
        for group in optimizer.param_groups:
            group["eps"] = 1.0
    return task


def layers(mine, *, together=True):
    """Forward and backward of BatchNorm on a share of four examples, in float64."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.BatchNorm1d(12)).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    images = 100 + torch.randn(4, 3, 2, 2, dtype=torch.float64)
    weights = torch.randn(4, 12, dtype=torch.float64)
    if together:
        synchronise(net)
    share = images[mine].requires_grad_()
    for _ in range(2):
        made = net(share)
    (made * weights[mine]).sum().backward()
    kept = {"made": made.detach(), "by_images": share.grad}
    kept |= {f"by_{name}": p.grad for name, p in net.named_parameters()}
    kept |= {f"state_{name}": tensor for name, tensor in net.state_dict().items()}
    net.eval()
    return kept | {"afterwards": net(share).detach()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
