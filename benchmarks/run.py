"""`make bench`: how fast the project is, as ratios to plain references within one run.

Machines differ and are noisy; a ratio of two things measured in turns is what can be compared.
"""

import json
import logging
import tempfile
from pathlib import Path

import images

import training

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """Measure, print a table, and keep it."""
    logging.disable(logging.WARNING)
    results: dict[str, dict[str, float]] = {}
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = images.large_pngs(folder / "files")
        results |= images.one_worker(files)
        raw_dir = images.data_set(folder / "raw", files, 1_440)
        results |= images.two_workers(raw_dir, folder / "store", files)
        results["20,000 images / 1,000"] = images.flatness(files, folder / "flat", 1_000, 20_000)
        figures["store into memory, GB/s"] = images.reading(folder / "flat/store")
        figures |= images.many_rows(folder / "many")
    results["LSGAN step / textbook"] = training.lsgan_step()

    print(f"{'images a second':38}{'ours':>10}{'plain':>10}{'ratio':>8}")
    for name, row in results.items():
        print(f"{name:38}{row['ours']:10.1f}{row['plain']:10.1f}{row['ratio']:8.2f}")
    for name, figure in figures.items():
        print(f"{name:48}{figure:10.2f}")
    RESULTS.write_text(json.dumps({"ratios": results, "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
