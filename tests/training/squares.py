"""Images whose findings are bright squares, and how a classifier is trained on them."""

import numpy as np
import torch

SIZE = 32
ENTRIES = ("Mass", "Effusion")

PARAMETERS = {
    "seed": 0,
    "selection": {},
    "network": "small",
    "image_size": SIZE,
    "epochs": 12,
    "max_steps": None,
    "batch_size": 8,
    "learning_rate": 2e-3,
    "weight_decay": 0.05,
    "augment": True,
    "accelerator": "cpu",
    "precision": "32-true",
    "log_every": 1,
    "checkpoint_every": 2,
    "keep_checkpoints": 2,
    "data_placement": "auto",
    "compile": False,
    "ema_decay": None,
    "gradient_clip": None,
    "learning_rate_warmup": 0,
    "resume": "auto",
}


def squares(count, seed=0):
    """Grain with a bright square on the left for a mass, and one below for an effusion."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 140, (count, SIZE, SIZE), dtype=np.uint8)
    findings = rng.random((count, 2)) < 0.5
    pixels[findings[:, 0], 8:16, 4:12] += 90
    pixels[findings[:, 1], 22:30, 12:20] += 90
    return {
        "pixels": torch.from_numpy(pixels)[:, None],
        "findings": torch.from_numpy(findings).float(),
    }


EXAMPLES, OTHERS = squares(40), squares(24, seed=1)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
