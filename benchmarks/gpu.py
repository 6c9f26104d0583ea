"""How fast the models train on one GPU, beside the paper's T4; on the CPU where there is none.

    PYTHONPATH=src python benchmarks/gpu.py
    PYTHONPATH=src python benchmarks/gpu.py --sweep --models gan vae

Plain Python: it needs torch >= 2.11 with torchvision, lightning, numpy, pandas, rich and
safetensors, and neither Kedro nor MLflow. Writes `benchmarks/gpu.json`.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import torch
from cases import BATCH, CASES, bare_steps, random_examples
from torch.utils.flop_counter import FlopCounterMode

from cxr_pipeline.training.record import processor

RESULTS = Path(__file__).with_suffix(".json")

PAPER_IMAGES = 44_625
PAPER_MINUTES = {"gan": 24, "vae": 48, "gmvae v8, frozen": 30, "gmvae v8, fine-tuned": 65}
"""An epoch on a T4 (Table 5)."""

BATCHES = 8
"""Batches of images to choose from."""
PRODUCTS = 20

COMPILING = {"false": False, "true": True, "cuda_graphs": "cuda_graphs"}


def seconds_of(device: torch.device, run: Callable[[], object]) -> float:
    """Time what a device is given to do, to its end and by its own clock."""
    if device.type != "cuda":
        started = time.perf_counter()
        run()
        return time.perf_counter() - started
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    begun.record()
    run()
    ended.record()
    torch.cuda.synchronize(device)
    return begun.elapsed_time(ended) / 1000


def product_rate(device: torch.device, side: int) -> float:
    """Floating-point operations a second of a bf16 matrix product: what the device can do."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))

    def products() -> None:
        for _ in range(PRODUCTS):
            left @ right

    seconds_of(device, products)  # the first time is not like the others
    return PRODUCTS * 2 * side**3 / min(seconds_of(device, products) for _ in range(3))


def operations(case: str, **changes: Any) -> int:
    """Count a step's floating-point operations: products and convolutions, both ways."""
    with bare_steps(case, **changes) as (_, step), FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def peak_memory(device: torch.device) -> int:
    """Bytes: torch's on a GPU since the last reset, the whole process's so far on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(case: str, steps: int, warm_up: int, **changes: Any) -> dict[str, Any]:
    """Time a case's steps.

    Args:
        case: One of `cases.CASES`.
        steps: Steps to time.
        warm_up: Steps before them, in which kernels are chosen and compiled.
        changes: Of the engine's settings.

    Returns:
        What a row of the table says of it, in JSON's types.
    """
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    batch = changes["batch_size"]
    with bare_steps(case, random_examples(case, BATCHES * batch), **changes) as (session, step):

        def take(count: int) -> None:
            for _ in range(count):
                step()
            session.read()

        device = session.fabric.device
        started = time.perf_counter()
        take(warm_up)
        ready = time.perf_counter() - started
        seconds = seconds_of(device, lambda: take(steps)) / steps
        precision = session.precision
        memory = peak_memory(device)
    return {
        "case": case,
        "precision": precision,
        "compile": changes["compile"],
        "batch": batch,
        "placement": changes["data_placement"],
        "images_per_second": batch / seconds,
        "epoch_seconds": PAPER_IMAGES * seconds / batch,
        "paper_epoch_seconds": PAPER_MINUTES[case] * 60,
        "warm_up_seconds": ready,
        "step_seconds": seconds,
        "peak_memory_bytes": memory,
    }


def print_row(row: dict[str, Any]) -> None:
    """Print a row of the table."""
    print(
        f"{row['case']:22}{row['precision']:12}{row['compile']!s:13}"
        f"{row['images_per_second']:10.1f}{row['epoch_seconds']:10.1f}"
        f"{row['paper_epoch_seconds']:10.0f}{row['flops_per_second'] / 1e12:10.2f}"
        f"{row['share_of_product_rate']:8.1%}{row['peak_memory_bytes'] / 1e9:8.2f}",
        flush=True,
    )


def arguments_of_command_line() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--accelerator", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", default="auto", help="or 32-true, bf16-mixed, 16-mixed")
    parser.add_argument("--compile", choices=COMPILING, default="false")
    parser.add_argument("--placement", choices=("auto", "device", "memory"), default="auto")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--product", type=int, help="side of the matrices multiplied")
    parser.add_argument("--sweep", action="store_true", help="every precision and way to compile")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    """Measure, print a table and keep it."""
    chosen = arguments_of_command_line()
    on_gpu = chosen.accelerator != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    precisions, ways = [chosen.precision], [chosen.compile]
    if chosen.sweep:
        precisions = ["32-true", "bf16-mixed", *(["16-mixed"] if on_gpu else [])]
        ways = ["false", "true", *(["cuda_graphs"] if on_gpu else [])]
    rate = product_rate(device, chosen.product or (8192 if on_gpu else 1024))
    name = torch.cuda.get_device_name(device) if on_gpu else processor()
    threads = "" if on_gpu else f", {torch.get_num_threads()} threads"
    print(f"{name}{threads}, torch {torch.__version__}; batch {chosen.batch}")
    print(f"bf16 matrix product: {rate / 1e12:.2f} TFLOP/s\n")
    print(
        f"{'':22}{'precision':12}{'compile':13}{'images/s':>10}{'epoch, s':>10}{'paper, s':>10}"
        f"{'TFLOP/s':>10}{'share':>8}{'GB':>8}"
    )
    shared = {
        "batch_size": chosen.batch,
        "data_placement": chosen.placement,
        "accelerator": "cuda" if on_gpu else "cpu",
    }
    record = {
        "device": name,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "bf16_product_flops_per_second": rate,
        "rows": [],
    }
    for case in chosen.models:
        counted = operations(case, **shared, precision="32-true")
        for precision, way in product(precisions, ways):
            how = {**shared, "precision": precision, "compile": COMPILING[way]}
            try:
                row = measure(case, chosen.steps, chosen.warm_up, **how)
            except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
                if not chosen.sweep:
                    raise
                # What does not work here is an answer too, and the others are still to come.
                reason = str(error).partition("\n")[0]
                record["rows"].append({"case": case, **how, "fails": reason})
                print(f"{case:22}{precision:12}{way:13} fails: {reason}", flush=True)
                continue
            achieved = counted / row["step_seconds"]
            row |= {"flops_per_second": achieved, "share_of_product_rate": achieved / rate}
            record["rows"].append(row)
            print_row(row)
            chosen.results.write_text(json.dumps(record, indent=2) + "\n")
            torch.compiler.reset()


if __name__ == "__main__":
    main()
