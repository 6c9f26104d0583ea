"""What is written down of a training run, so that it can be repeated and its results trusted."""

import os
import platform
from collections.abc import Mapping
from typing import Any

import torch

from cxr_pipeline import __version__
from cxr_pipeline.models.digest import weights_digest
from cxr_pipeline.training.engine import Outcome


def record_outcome(outcome: Outcome) -> dict[str, Any]:
    """Describe how a model was trained and where, in JSON's types.

    On the same machine, torch build and number of threads the same seed gives the same weights,
    to the bit: so these are recorded.
    """
    on_gpu = outcome.device.startswith("cuda")
    return {
        "weights_sha256": weights_digest(outcome.weights),
        "seconds": outcome.seconds,
        "images_per_second": outcome.images_per_second,
        "learned_parameters": outcome.learned_parameters,
        "warnings": list(outcome.warnings),
        "environment": {
            "cxr_pipeline": __version__,
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name() if on_gpu else processor(),
            "precision": outcome.precision,
            "threads": torch.get_num_threads(),
        },
    }


def speed_and_size(config: Mapping[str, Any]) -> dict[str, float]:
    """Read from a model's `config.json` how fast it was trained and how large it is.

    Returns:
        By metric name. An epoch's seconds are those of its training steps (the paper's Table 5).
    """
    return {
        "speed/mean_images_per_second": config["images_per_second"],
        "speed/seconds_per_epoch": config["training_images"] / config["images_per_second"],
        "size/parameters": float(config["learned_parameters"]),
    }


def processor() -> str:
    """Name the CPU and its cores."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            )
    except (OSError, StopIteration):
        # Not Linux: the platform's own word has to do.
        pass
    return f"{name}, {os.cpu_count()} cores"
