"""How fast trained models draw images; as a script, in what memory.

    python benchmarks/sampling.py CASE IMAGES

prints the images a second and the peak memory of the process in MB, torch included.
"""

import subprocess
import sys
import time
from pathlib import Path

import torch
from cases import CASES, build_task, parameters

from cxr_pipeline.training.models import MODELS
from cxr_pipeline.training.sampling import ImageGenerator

DRAWN = ("gan", "vae", "gmvae v8, frozen")
FEW, MANY = 64, 4_096


def generator(case: str) -> ImageGenerator:
    """A model with its first weights; the VAE draws from its prior."""
    model, _ = CASES[case]
    values = parameters(case) | {"sampler": "prior"}
    weights = {
        f"{name}.{key}": tensor
        for name, module in build_task(case).modules.items()
        for key, tensor in module.state_dict().items()
    }
    config = {
        "model": model,
        "architecture": MODELS[model].architecture(values, []),
        "parameters": values,
    }
    return ImageGenerator(config, weights)


def draw(case: str, images: int) -> tuple[float, float]:
    """Draw in a process of its own: images a second, and its peak memory in MB."""
    command = [sys.executable, __file__, case, str(images)]
    drawn = subprocess.run(command, capture_output=True, text=True, check=True)
    rate, memory = map(float, drawn.stdout.split())
    return rate, memory


def figures() -> dict[str, float]:
    """Each model's speed, and its memory for a batch and for many."""
    found = {}
    for case in DRAWN:
        _, few = draw(case, FEW)
        rate, many = draw(case, MANY)
        found[f"{case}: images drawn a second"] = rate
        found[f"{case}: peak memory, {FEW} images, MB"] = few
        found[f"{case}: peak memory, {MANY:,} images, MB"] = many
    return found


def main() -> None:
    """Draw and measure."""
    case, images = sys.argv[1], int(sys.argv[2])
    built = generator(case)
    with torch.no_grad():
        started = time.perf_counter()
        for _ in built.pictures(images):
            pass
        seconds = time.perf_counter() - started
    # Not resource.getrusage: its peak would be that of the process which started this one.
    status = Path("/proc/self/status").read_text().split()
    print(images / seconds, int(status[status.index("VmHWM:") + 1]) / 1024)


if __name__ == "__main__":
    main()
