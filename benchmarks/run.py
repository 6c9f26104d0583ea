"""`make bench`: how fast the project is, as ratios to plain references within one run.

    python benchmarks/run.py [SECTION ...]

Machines differ and are noisy; a ratio of two things measured in turns is what can be compared.
`thorough` takes a quarter of an hour and is only measured when it is named.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import images
import sampling
import torch

import training
from cxr_pipeline.training.memory import ask_for_huge_pages
from cxr_pipeline.training.record import processor

RESULTS = Path(__file__).with_name("results.json")

Ratios = dict[str, dict[str, float]]
Figures = dict[str, float]


def preprocessing() -> tuple[Ratios, Figures]:
    """From image files to the store, and the store into memory; four minutes."""
    ratios: Ratios = {}
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = images.large_pngs(folder / "files")
        ratios |= images.one_worker(files)
        raw_dir = images.data_set(folder / "raw", files, 1_440)
        ratios |= images.two_workers(raw_dir, folder / "store", files)
        ratios["20,000 images / 1,000"] = images.flatness(files, folder / "flat", 1_000, 20_000)
        figures["store into memory, GB/s"] = images.reading(folder / "flat/store")
        figures |= images.many_rows(folder / "many")
    return ratios, figures


def steps() -> tuple[Ratios, Figures]:
    """Each model's step against a textbook's; three minutes."""
    ratios = {
        f"{case}: step / textbook": training.step(case)
        for case in ("gan", "vae", "gmvae v8, frozen")
    }
    ratios["gmvae v8, fine-tuned: step / textbook"] = training.step("gmvae v8, fine-tuned", 1)
    ratios["gan: step, 100,000 images / 1,000"] = training.flatness()
    return ratios, {}


def loop() -> tuple[Ratios, Figures]:
    """The GAN's whole loop against its bare step; two minutes."""
    return whole_loops("gan")


def whole_loops(*cases: str) -> tuple[Ratios, Figures]:
    """Whole loops against their bare steps."""
    rows = {case: training.whole_loop(case) for case in cases}
    shares = {f"{case}: share of the loop in steps": row.pop("share") for case, row in rows.items()}
    return {f"{case}: whole loop / bare step": row for case, row in rows.items()}, shares


def drawing() -> tuple[Ratios, Figures]:
    """Trained models' speed and memory; one minute."""
    return {}, sampling.figures()


def thorough() -> tuple[Ratios, Figures]:
    """What takes long: the other models' whole loops, and what compiling gains."""
    ratios, figures = whole_loops("vae", "gmvae v8, frozen")
    return ratios, figures | {"gan: compiled step / not compiled": training.compiled("gan")}


SECTIONS: dict[str, Callable[[], tuple[Ratios, Figures]]] = {
    "preprocessing": preprocessing,
    "steps": steps,
    "loop": loop,
    "drawing": drawing,
    "thorough": thorough,
}


def main() -> None:
    """Measure, print a table, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # No `choices`: with them argparse would take an empty list for a wrong one.
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    named = parser.parse_args().sections
    unknown = [name for name in named if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]!r}: there are {', '.join(SECTIONS)}")
    logging.disable(logging.WARNING)
    ask_for_huge_pages()  # as `kedro run` does
    machine = {
        "processor": processor(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    print(f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}\n")
    ratios: Ratios = {}
    figures: Figures = {}
    for name in named or [name for name in SECTIONS if name != "thorough"]:
        found, others = SECTIONS[name]()
        ratios |= found
        figures |= others
        # After each section: what took minutes is not lost with what comes after it.
        RESULTS.write_text(
            json.dumps({"machine": machine, "ratios": ratios, "figures": figures}, indent=2) + "\n"
        )

    print(f"{'images a second':42}{'ours':>10}{'plain':>10}{'ratio':>8}")
    for name, row in ratios.items():
        print(f"{name:42}{row['ours']:10.1f}{row['plain']:10.1f}{row['ratio']:8.2f}")
    for name, figure in figures.items():
        print(f"{name:52}{figure:10.2f}")


if __name__ == "__main__":
    main()
