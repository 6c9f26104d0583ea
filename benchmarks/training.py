"""How fast the engine trains."""

from functools import partial

import reference
import torch
from lightning.fabric import Fabric
from timing import compare

from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.engine import update_network
from cxr_pipeline.training.lsgan import LsganTask
from cxr_pipeline.training.precision import choose_precision

BATCH = 64


def lsgan_step() -> dict[str, float]:
    """The engine's LSGAN step on the CPU against the textbook's; images a second."""
    pixels = torch.randint(0, 256, (BATCH, 1, 128, 128), dtype=torch.uint8)
    fabric = Fabric(accelerator="cpu", devices=1, precision=choose_precision("auto", "cpu"))
    task = LsganTask(
        dim_z=100, patch_scores=True, learning_rate=2e-4, betas=(0.5, 0.999), generator_steps=3
    )
    for name, module in list(task.modules.items()):
        module.to(memory_format=torch.channels_last)
        task.modules[name], task.optimizers[name] = fabric.setup(module, task.optimizers[name])
    randomness = partial(random_generator, 0, step=1)
    batch = {"pixels": pixels, "findings": torch.zeros(BATCH, 0)}
    ours = partial(task.step, batch, 1, randomness, partial(update_network, fabric, task, 1))
    return compare(ours, partial(reference.lsgan_step(), pixels), BATCH)
