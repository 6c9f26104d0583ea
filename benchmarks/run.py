"""`make bench`: how fast the project is, as ratios to plain references within one run.

Machines differ and are noisy; a ratio of two things measured in turns is what can be compared.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import reference
import torch
from lightning.fabric import Fabric

from cxr_pipeline.data import transforms
from cxr_pipeline.data.png import encode_png
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.engine import update_network
from cxr_pipeline.training.lsgan import LsganTask
from cxr_pipeline.training.precision import choose_precision

RESULTS = Path(__file__).with_name("results.json")
BATCH = 64
ROUNDS = 5


def compare(
    ours: Callable[[], object], plain: Callable[[], object], items: int
) -> dict[str, float]:
    """Time both in turns; items a second of each, and the median of the rounds' ratios."""
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    ours(), plain()  # the first time is not like the others
    for _ in range(ROUNDS):
        for name, run in (("ours", ours), ("plain", plain)):
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    ratios = [p / o for o, p in zip(seconds["ours"], seconds["plain"], strict=True)]
    return {
        "ours_per_second": items / statistics.median(seconds["ours"]),
        "plain_per_second": items / statistics.median(seconds["plain"]),
        "ratio": statistics.median(ratios),
    }


def lsgan_step() -> dict[str, float]:
    """The engine's LSGAN step on the CPU against the textbook's."""
    pixels = torch.randint(0, 256, (BATCH, 1, 128, 128), dtype=torch.uint8)
    fabric = Fabric(accelerator="cpu", devices=1, precision=choose_precision("auto", "cpu"))
    task = LsganTask(
        dim_z=100, patch_scores=True, learning_rate=2e-4, betas=(0.5, 0.999), generator_steps=3
    )
    for name, module in list(task.modules.items()):
        module.to(memory_format=torch.channels_last)
        task.modules[name], task.optimizers[name] = fabric.setup(module, task.optimizers[name])
    randomness = partial(random_generator, 0, step=1)
    ours = partial(task.step, pixels, randomness, partial(update_network, fabric, task, 1))
    return compare(ours, partial(reference.lsgan_step(), pixels), BATCH)


def image_transform() -> dict[str, float]:
    """Decoding, resizing and equalising 1024 px PNGs, one worker, against the authors' way."""
    count = 24
    noise = np.random.default_rng(0).normal(0, 3, (1024, 1024))
    ramp = np.add.outer(np.arange(1024), np.arange(1024)) / 2048 * 255
    picture = np.clip(ramp + noise, 0, 255).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.png" for number in range(count)]
        for path in paths:
            path.write_bytes(encode_png(picture))
        return compare(
            lambda: [transforms.transform(transforms.decode(p), 128, equalise=True) for p in paths],
            lambda: [reference.transform(p, 128) for p in paths],
            count,
        )


def main() -> None:
    """Measure, print a table, and keep it."""
    results = {"LSGAN step, images": lsgan_step(), "transform, images": image_transform()}
    print(f"{'':24}{'ours/s':>10}{'plain/s':>10}{'ratio':>8}")
    for name, row in results.items():
        print(
            f"{name:24}{row['ours_per_second']:10.1f}{row['plain_per_second']:10.1f}"
            f"{row['ratio']:8.2f}"
        )
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
