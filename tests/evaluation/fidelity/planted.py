"""Sets of drawn chests that fail in known ways, and what each metric says of them.

python -m tests.evaluation.fidelity.planted prints the table of docs/evaluation_metrics.md.
"""

import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import nn

from cxr_pipeline.data.transforms import resize_and_crop
from cxr_pipeline.evaluation.extractors import build_extractors
from cxr_pipeline.evaluation.fidelity.measure import measure_fidelity
from cxr_pipeline.evaluation.image_sets import REAL, ImageSet, halves

SAMPLE = Path(__file__).resolve().parents[3] / "data/01_raw/sample"
SIZE = 64
SEED = 3


class RandomNetwork:
    """Features of a small network of random weights."""

    sha256 = "0" * 64

    def __init__(self, name: str = "random", seed: int = 0) -> None:
        self.name = name
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = nn.Sequential(
                *(nn.Conv2d(1, 16, 5, stride=2), nn.LeakyReLU(0.2)),
                *(nn.Conv2d(16, 32, 5, stride=2), nn.LeakyReLU(0.2)),
                *(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 64)),
            )

    @torch.inference_mode()
    def features(self, pixels: np.ndarray) -> np.ndarray:
        return self.network(torch.from_numpy(pixels)[:, None] / 32 - 4).numpy()


def described(extractor, images):
    return extractor.features(images.pixels)


def chests() -> ImageSet:
    """The sample images, made smaller."""
    table = pd.read_csv(SAMPLE / "Data_Entry_2017_v2020.csv")
    names = table["Image Index"]
    pixels = [cv2.imread(str(SAMPLE / "images" / name), cv2.IMREAD_GRAYSCALE) for name in names]
    return ImageSet(
        name=REAL,
        pixels=np.stack([resize_and_crop(image, SIZE) for image in pixels]),
        groups=table["Patient ID"].to_numpy(np.int64),
        labels=tuple(table["Finding Labels"]),
    )


def as_samples(name: str, pixels: np.ndarray) -> ImageSet:
    return ImageSet(name, pixels, np.arange(len(pixels)), ("",) * len(pixels))


def blurred(pixels: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in pixels])


def half_collapsed(pixels: np.ndarray) -> np.ndarray:
    """Every second image is the first one."""
    collapsed = pixels.copy()
    collapsed[::2] = pixels[0]
    return collapsed


def noise(pixels: np.ndarray) -> np.ndarray:
    return np.random.default_rng(SEED).integers(0, 256, pixels.shape, dtype=np.uint8)


def grainy(pixels: np.ndarray) -> np.ndarray:
    grain = np.random.default_rng(SEED).normal(0, 10, pixels.shape)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def darker(pixels: np.ndarray) -> np.ndarray:
    return (pixels * 0.8).astype(np.uint8)


def planted(real: ImageSet) -> list[ImageSet]:
    """Images of the half that is no reference, spoiled in known ways."""
    reference, others = halves(real.groups, SEED)
    pixels = real.pixels[others]
    spoiled = {
        "reference": real.pixels[reference][: len(others)],
        "blurred": blurred(pixels),
        "grainy": grainy(pixels),
        "darker": darker(pixels),
        "half_collapsed": half_collapsed(pixels),
        "noise": noise(pixels),
    }
    return [as_samples(name, made) for name, made in spoiled.items()]


measured = partial(
    measure_fidelity,
    features=described,
    neighbours=5,
    kid_subset=20,
    replicates=20,
    seed=SEED,
)


def table() -> str:
    """What each set scores, in bold where its interval and the floor's are apart."""
    drawn = chests()
    extractors, _ = build_extractors(("random",), classifier=None, seed=0, accelerator="cpu")
    found = measured(planted(drawn), drawn, extractors, replicates=200)
    rows = {(row.model, row.metric): row for row in found.rows}
    models = [name for name in dict.fromkeys(model for model, _ in rows) if name != REAL]
    lines = [["", "real against real", *models], ["---"] * (len(models) + 2)]
    for metric in dict.fromkeys(metric for _, metric in rows):
        floor = rows[REAL, metric]
        cells = [f"{floor.value:.2g} ({floor.low:.2g} to {floor.high:.2g})"]
        for row in (rows[model, metric] for model in models):
            apart = row.high < floor.low or row.low > floor.high
            cells.append(f"**{row.value:.2g}**" if apart else f"{row.value:.2g}")
        lines.append([metric.removesuffix("/random"), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(table())
