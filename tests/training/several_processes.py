"""What each of several processes does in `test_distributed.py`, started by torchrun.

python several_processes.py TRIAL FOLDER
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

from cxr_pipeline.models.vae import Centre
from cxr_pipeline.training.distributed import agreed_signal, join, processes
from cxr_pipeline.training.engine import train
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


def main(trial, folder):
    rank = torch.distributed.get_rank()
    if trial == "layers":
        share = 4 // processes()
        mine = slice(rank * share, (rank + 1) * share)
        save_file(layers(mine), folder / f"{rank}.safetensors")
    elif trial == "signals":
        # Only the last process got one; where they do not meet none stops.
        own = 15 if rank == processes() - 1 else None
        agreed = [agreed_signal(own, meeting=meeting) for meeting in (False, True)]
        (folder / f"{rank}.json").write_text(json.dumps(agreed))
    elif trial == "train":
        for kind in KINDS:
            learn(kind, folder / kind, rank=rank)
    elif trial == "resume":
        learn("gan", folder / "whole", rank=rank, ema_decay=0.5)
        learn("gan", folder / "parts", rank=rank, steps=2, ema_decay=0.5)
        learn("gan", folder / "parts", rank=rank, resume=True, ema_decay=0.5)


def learn(kind, folder, rank=0, *, single=False, **changes):
    """Train a small model; weights, history and what was told go to the folder, named by rank."""
    folder.mkdir(exist_ok=True, parents=True)
    told = []
    watchers = Watchers(
        on_metrics=lambda step, metrics: told.append(step),
        on_samples=lambda step, drawn: told.append(step),
    )
    if kind.startswith("gmvae"):
        findings = 2 if "findings" in kind else 0
        examples, others = (make_examples(n, findings=findings, seed=n) for n in (8, 3))
    else:
        examples, others = (examples_of(coarse_pictures(n, seed=n)) for n in (8, 3))
    settings = {
        "steps": STEPS,
        "batch_size": 4,
        "seed": 0,
        "accelerator": "cpu",
        "precision": "64-true",
        "log_every": 2,
        "checkpoint_every": 1,
        "sample_at": (0, 1),
        "samples": 2,
        "resume": "auto",
    }
    made = train(
        partial(smooth, KINDS[kind]),
        examples,
        HeldOut(others, "validation"),
        Settings(**settings | changes),
        checkpoints=folder / ("checkpoint" if rank == 0 else f"checkpoint_{rank}"),
        identity={"model": kind},
        watchers=watchers,
    )
    save_file(made.weights, folder / f"{rank}.safetensors")
    (folder / f"{rank}.json").write_text(json.dumps({"history": made.history, "told": told}))


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
    """Forward and backward of BatchNorm and Centre on a share of four examples, in float64."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.BatchNorm1d(12), Centre(12)).double()
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
    join()
    main(sys.argv[1], Path(sys.argv[2]))
    torch.distributed.destroy_process_group()
