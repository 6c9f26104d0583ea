"""Whether mixed precision costs quality: losses in fp32 and in bf16, each with several seeds.

    python benchmarks/precision_quality.py RAW_DIR [--work DIR] [--steps 300] [--batch 8]

RAW_DIR holds images and their labels, as `raw_dir` does. What has been measured is kept, so that a
run that was stopped goes on where it was. Takes an hour on two cores.
"""

import argparse
import json
import logging
import math
import statistics
import tempfile
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import CASES, build_task, parameters, settings
from stores import plan

from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.files import write_json
from cxr_pipeline.training.engine import train
from cxr_pipeline.training.examples import read_examples
from cxr_pipeline.training.feature_cache import FeaturePlan, build_features
from cxr_pipeline.training.models import MODELS
from cxr_pipeline.training.task import Examples
from cxr_pipeline.training.watching import HeldOut, Watchers

RESULTS = Path(__file__).with_suffix(".json")
CHART = Path(__file__).resolve().parents[1] / "docs/images/precision.png"

MEASURED = ("gan", "vae", "gmvae v8, frozen")
PRECISIONS = ("32-true", "bf16-mixed")
SEEDS = (0, 1, 2)
LOSSES = {
    "gan": ("loss/generator", "loss/discriminator"),
    "vae": ("loss/total",),
    "gmvae v8, frozen": ("loss/total",),
}
LAST = 50
"""Steps at the end whose mean is compared."""
SMOOTHED = 20
"""Steps that a point of the chart averages."""
HELD_OUT = 16

COLOURS = {"32-true": "#888888", "bf16-mixed": "#c0392b"}


def examples(case: str, raw_dir: Path, work: Path) -> tuple[Examples, HeldOut]:
    """Read what a case trains on, and a few images to look at it with."""
    size = MODELS[CASES[case][0]].IMAGE_SIZE
    images = build_store(plan(raw_dir, size=size), work / f"images_{size}")
    features = None
    if case == "gmvae v8, frozen":
        row = parameters(case)["row"]
        encoder = FeaturePlan(images, row["encoder"], row["normalise"], None, 0, "auto", "auto")
        features = build_features(encoder, work / "features")
    splits = images.rows(split="train"), images.rows(split="validation")[:HELD_OUT]
    trained, others = (read_examples(images, rows, [], features) for rows in splits)
    return trained, HeldOut(others, "validation")


def losses(
    case: str, precision: Any, seed: int, data: tuple[Examples, HeldOut], steps: int, batch: int
) -> dict[str, list[float]]:
    """Train with the engine; each loss at each step."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(
            partial(build_task, case),
            *data,
            settings(
                case,
                steps=steps,
                batch_size=batch,
                seed=seed,
                precision=precision,
                checkpoint_every=steps,
                sample_at=(),
            ),
            checkpoints=Path(folder),
            identity={},
            watchers=Watchers(lambda step, metrics: None, lambda step, drawn: None),
        )
    return {
        metric: [float(f"{value:.5g}") for _, name, value in outcome.history if name == metric]
        for metric in LOSSES[case]
    }


def summarise(curves: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, Any]]:
    """How far the precisions' last losses are apart, beside how far the seeds' are.

    Returns:
        By case and loss: the last losses of each precision's seeds, the difference of their means,
        its standard error, and the standard deviation between the seeds of fp32.
    """
    rows = {}
    for case in MEASURED:
        for metric in LOSSES[case]:
            last = {
                precision: [
                    statistics.mean(curves[f"{case}/{precision}/{seed}"][metric][-LAST:])
                    for seed in SEEDS
                ]
                for precision in PRECISIONS
            }
            plain, mixed = (statistics.mean(last[precision]) for precision in PRECISIONS)
            rows[f"{case}: {metric}"] = {
                **last,
                "difference": mixed - plain,
                "standard error": math.sqrt(
                    sum(statistics.variance(values) / len(SEEDS) for values in last.values())
                ),
                "spread of seeds": statistics.stdev(last["32-true"]),
            }
    return rows


def draw(curves: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Draw a panel a loss: a thin line a seed, a colour a precision."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [(case, metric) for case in MEASURED for metric in LOSSES[case]]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(3.4 * len(panels), 3.0))
    for axis, (case, metric) in zip(axes, panels, strict=True):
        for precision, seed in product(PRECISIONS, SEEDS):
            values = np.array(curves[f"{case}/{precision}/{seed}"][metric])
            smooth = np.convolve(values, np.ones(SMOOTHED) / SMOOTHED, mode="valid")
            steps = np.arange(SMOOTHED, len(values) + 1)
            label = precision if seed == SEEDS[0] else None
            axis.plot(
                steps, smooth, color=COLOURS[precision], linewidth=0.9, alpha=0.8, label=label
            )
        axis.set_title(f"{case}\n{metric.removeprefix('loss/')} loss", fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(which="both", labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        if case != "gan":
            axis.set_yscale("log")
    axes[0].legend(fontsize=7, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure what is not measured yet, compare and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raw_dir", type=Path)
    parser.add_argument("--work", type=Path, help="keeps stores and features between runs")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--chart", type=Path, default=CHART)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    how = {"steps": arguments.steps, "batch": arguments.batch, "images": arguments.raw_dir.name}
    kept = json.loads(arguments.results.read_text()) if arguments.results.is_file() else {}
    curves = kept["curves"] if kept.get("how") == how else {}
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        for seed, case in product(SEEDS, MEASURED):
            missing = [p for p in PRECISIONS if f"{case}/{p}/{seed}" not in curves]
            data = examples(case, arguments.raw_dir, work) if missing else None
            for precision in missing:
                curves[f"{case}/{precision}/{seed}"] = losses(
                    case, precision, seed, data, arguments.steps, arguments.batch
                )
                print(f"{case}, {precision}, seed {seed}", flush=True)
                write_json(arguments.results, {"how": how, "curves": curves})
    summary = summarise(curves)
    machine = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    write_json(
        arguments.results, {"how": how, "machine": machine, "summary": summary, "curves": curves}
    )
    for name, row in summary.items():
        last = "  ".join(f"{p} {' '.join(f'{v:.5g}' for v in row[p])}" for p in PRECISIONS)
        print(
            f"{name:34}{last}  difference {row['difference']:+.3g} "
            f"+- {row['standard error']:.3g}, spread of seeds {row['spread of seeds']:.3g}"
        )
    draw(curves, arguments.chart)


if __name__ == "__main__":
    main()
