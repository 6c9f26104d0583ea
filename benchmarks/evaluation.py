"""How long fidelity and diversity take to measure, and in what memory.

    python benchmarks/evaluation.py [IMAGES ...]

prints, for so many images at 128 pixels against as many real ones (500, 1,000 and 2,000), the
seconds of each metric, those of the whole measurement, and the peak memory of a process of its own.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from cxr_pipeline.data.transforms import resize_and_crop
from cxr_pipeline.evaluation.extractors import Extractor, build_extractors
from cxr_pipeline.evaluation.fidelity.frechet import frechet_estimate
from cxr_pipeline.evaluation.fidelity.kernel_distance import kernel_estimate
from cxr_pipeline.evaluation.fidelity.manifolds import manifold_estimates
from cxr_pipeline.evaluation.fidelity.measure import measure_fidelity
from cxr_pipeline.evaluation.fidelity.power_spectrum import spectrum_estimate
from cxr_pipeline.evaluation.fidelity.sliced_wasserstein import wasserstein_estimate
from cxr_pipeline.evaluation.fidelity.structural_similarity import similarity_estimate
from cxr_pipeline.evaluation.image_sets import REAL, ImageSet
from cxr_pipeline.evaluation.resampling import multiplicities
from cxr_pipeline.models.classifier import Classifier
from cxr_pipeline.models.digest import weights_digest
from cxr_pipeline.training.classifier import ImageClassifier

SAMPLE = Path(__file__).resolve().parents[1] / "data/01_raw/sample/images"
COUNTS = (500, 1_000, 2_000)
SIZE = 128
REPLICATES = 200
NEIGHBOURS, KID_SUBSET = 5, 100
IMAGES_A_PATIENT = 2

Features = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def images(name: str, count: int, seed: int) -> ImageSet:
    """Take sample images again and again, shifted and a little darker or brighter."""
    rng = np.random.default_rng(seed)
    paths = sorted(SAMPLE.glob("*.png"))
    grey = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]
    small = [resize_and_crop(image, SIZE) for image in grey]
    pixels = np.empty((count, SIZE, SIZE), dtype=np.uint8)
    for place in range(count):
        shifted = np.roll(small[rng.integers(len(small))], rng.integers(-6, 7, 2), axis=(0, 1))
        pixels[place] = np.clip(shifted * rng.uniform(0.8, 1.2), 0, 255)
    groups = np.arange(count) // (IMAGES_A_PATIENT if name == REAL else 1)
    return ImageSet(name, pixels, groups, ("",) * count)


def extractors() -> list[Extractor]:
    """The small classifier with its first weights, and the random network."""
    torch.manual_seed(0)
    network = Classifier("small", 14)
    weights = {f"classifier.{key}": tensor for key, tensor in network.state_dict().items()}
    config = {
        "network": "small",
        "entries": [f"finding {number}" for number in range(14)],
        "image_size": 64,
        "weights_sha256": weights_digest(weights),
    }
    classifier = ImageClassifier(config, weights, accelerator="cpu")
    names = ("classifier", "random")
    built, _ = build_extractors(names, classifier=classifier, seed=0, accelerator="cpu")
    return built


def metrics(one: ImageSet, other: ImageSet, both: Features) -> dict[str, Callable[[], object]]:
    """Each metric, with its interval."""
    draws = tuple(multiplicities(side.groups, REPLICATES, 0) for side in (one, other))
    pixels = one.pixels, other.pixels
    return {
        "Frechet distance": lambda: frechet_estimate(*both, *draws),
        "KID": lambda: kernel_estimate(*both, *draws, subset=KID_SUBSET, seed=0),
        "precision, recall, density, coverage": lambda: manifold_estimates(
            *both, *draws, neighbours=NEIGHBOURS
        ),
        "MS-SSIM": lambda: similarity_estimate(other.pixels, other.groups, draws[1], seed=0),
        "sliced Wasserstein": lambda: wasserstein_estimate(*pixels, *draws, seed=0),
        "power spectrum": lambda: spectrum_estimate(*pixels, *draws),
    }


def seconds(run: Callable[[], object]) -> float:
    """Run once."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def figures(count: int) -> dict[str, float]:
    """Seconds of each metric and of all, and the peak memory in MB, of this process."""
    real, samples = images(REAL, 2 * count, 0), images("samples", count, 1)
    reference = real.take(np.arange(count))
    found: dict[str, float] = {}
    for extractor in extractors():
        whole = f"features of {count} images, {extractor.name} ({extractor.dimensions})"
        found[whole] = seconds(lambda pixels=samples.pixels, e=extractor: e.features(pixels))
    last = extractors()[-1]
    both = last.features(reference.pixels), last.features(samples.pixels)
    for name, run in metrics(reference, samples, both).items():
        found[name] = seconds(run)
    found["all, both extractors, and the floor"] = seconds(
        lambda: measure_fidelity(
            [samples],
            real,
            extractors(),
            features=lambda extractor, one: extractor.features(one.pixels),
            neighbours=NEIGHBOURS,
            kid_subset=KID_SUBSET,
            replicates=REPLICATES,
            seed=0,
        )
    )
    found["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def main() -> None:
    """Print the figures of each count, measured in a process of its own."""
    counts = [int(count) for count in sys.argv[1:]] or COUNTS
    if len(counts) == 1:
        print(json.dumps(figures(counts[0])))
        return
    for count in counts:
        command = [sys.executable, __file__, str(count)]
        measured = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"{count} images")
        for name, value in json.loads(measured.stdout).items():
            print(f"  {name:45} {value:8.1f}")


if __name__ == "__main__":
    main()
