"""Tasks and pictures small enough to train in a test."""

import numpy as np
import torch
from torch import nn

from cxr_pipeline.models.gmvae import Gmvae
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.checkpoint import Learner, write_checkpoint
from cxr_pipeline.training.gmvae import GmvaeTask
from cxr_pipeline.training.lsgan import LsganTask
from cxr_pipeline.training.task import Diagnosis
from cxr_pipeline.training.updates import adam
from cxr_pipeline.training.vae import VaeTask

SIDE = 128


def gan_task(**changes):
    defaults = {
        "dim_z": 8,
        "patch_scores": True,
        "learning_rate": 2e-4,
        "betas": (0.5, 0.999),
        "generator_steps": 3,
    }
    return LsganTask(**defaults | changes)


def vae_task(**changes):
    defaults = {
        "dim_z": 8,
        "centre": True,
        "learning_rate": 5e-4,
        "beta": 1.0,
        "kl_warmup": 0,
        "scaling": "elbo",
        "mixture_components": 2,
    }
    return VaeTask(**defaults | changes)


def save_checkpoint(folder, modules=None, optimizers=None, step=3, **changes):
    """Write a checkpoint as the engine does; by default of next to nothing."""
    learner = {"modules": modules or {"net": nn.Linear(2, 1)}, "optimizers": optimizers or {}}
    for name in ("average", "scaler"):
        learner[name] = changes.pop(name, None)
    arguments = {
        "identity": {"model": "x"},
        "run": "first",
        "history": [(1, "loss", 0.5)],
        "seconds": 1.5,
        "notes": {},
        "alarms": {},
        "keep": 2,
    }
    write_checkpoint(folder, Learner(**learner), step=step, **arguments | changes)


def examples_of(levels, findings=None):
    """Grey levels, (N, h, w), as examples of whole size; by default of a model without findings."""
    levels = np.asarray(levels)
    pixels = levels.repeat(SIDE // levels.shape[1], axis=1).repeat(SIDE // levels.shape[2], axis=2)
    return {
        "pixels": torch.from_numpy(pixels.astype(np.uint8))[:, None],
        "findings": torch.zeros(len(levels), 0) if findings is None else findings,
    }


def coarse_pictures(count, seed=0):
    """Random 8 x 8 pictures, alike in nothing."""
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8))


def chests(count, seed=0):
    """Coarse chests: two dark lungs in bright tissue, each a little different."""
    y, x = np.mgrid[:8, :8]
    lungs = (y >= 1) & (y <= 6) & np.isin(x, (1, 2, 5, 6))
    grain = np.random.default_rng(seed).integers(-40, 41, (count, 8, 8))
    return np.where(lungs, 50, 200) + grain


def with_noise(task, examples, step=1, seed=0):
    """Examples with the noise of a step beside them, as the engine hands them to a task."""
    noise = task.noise(len(examples["pixels"]), random_generator(seed, "noise", step))
    return {**examples, **noise}


def learn(task):
    """An update as the engine's, without its precision and its checks."""

    def update(name, loss):
        task.optimizers[name].zero_grad()
        loss.backward()
        gradients = [p.grad for p in task.modules[name].parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        task.optimizers[name].step()
        return norm

    return update


def train_for(task, examples, steps):
    """Take steps on all examples at once; the last one's metrics."""
    for module in task.modules.values():
        module.to(memory_format=torch.channels_last)
    metrics = {}
    for step in range(1, steps + 1):
        metrics = task.step(with_noise(task, examples, step), step, learn(task))
    return {name: float(value) for name, value in metrics.items()}


class LineTask:
    """The smallest there is: fit a line through points, with a little noise."""

    drawing = "line"

    def __init__(self, learning_rate=0.1, slope=2.0):
        line = nn.Linear(1, 1)
        with torch.no_grad():
            line.weight.fill_(0.5)
            line.bias.zero_()
        self.slope = slope
        self.modules = {"line": line}
        self.optimizers = {"line": adam(line, learning_rate=learning_rate)}

    def noise(self, count, generator):
        return {"noise": torch.rand(count, 1, generator=generator) / 100}

    def step(self, batch, step, update):
        points = batch["pixels"].float().flatten(1).mean(dim=1, keepdim=True) + batch["noise"]
        loss = (self.modules["line"](points) - self.slope * points).square().mean()
        return {"loss/line": loss.detach(), "gradient/line": update("line", loss)}

    def sample(self, noise, findings):
        return torch.full((len(findings), 1, 2, 2), float(self.modules["line"].weight))

    def diagnose(self, examples, split, noise):
        return Diagnosis({"quality/slope": float(self.modules["line"].weight.detach())})

    def finish(self, examples, noise):
        return {}

    def reconstruct(self, examples):
        return None


def points(count):
    return {"pixels": torch.arange(count)[:, None], "findings": torch.zeros(count, 0)}


def gmvae_case(count, findings=0):
    """What builds a small GMVAE with a frozen encoder, and examples with features for it."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 1, 7, 7), dtype=np.uint8)
    examples = {
        "pixels": torch.from_numpy(coarse.repeat(32, axis=2).repeat(32, axis=3)),
        "findings": torch.eye(2)[torch.arange(count) % 2][:, :findings],
        "features": torch.from_numpy(rng.random((count, 8, 7, 7))).half(),
    }

    def build():
        shape = {"dim_z": 16, "components": 5, "transition": True, "decoder": "2"}
        gmvae = Gmvae(features=8, findings=findings, **shape)
        return GmvaeTask(gmvae, dim_z=16, learning_rate=1e-3, beta=1.0, reconstruction="mse")

    return build, examples
