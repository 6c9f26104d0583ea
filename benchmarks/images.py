"""How fast image files become an image store, and the store memory."""

import os
import shutil
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import reference
from PIL import Image
from stores import MAX_PIXELS, SIZE, build, plan
from timing import compare, seconds_of

from cxr_pipeline.data.decode import decode
from cxr_pipeline.data.store import open_store
from cxr_pipeline.data.transforms import Transform, transform

REPOSITORY = Path(__file__).resolve().parents[1]
SAMPLE = REPOSITORY / "data/01_raw/sample/images"
MANY = 100_000


def large_pngs(folder: Path, count: int = 24, side: int = 1024) -> list[Path]:
    """Write 8-bit PNGs of NIH's size: sample images enlarged, with grain, about 0.45 MB each."""
    folder.mkdir(parents=True)
    paths = []
    for number, source in enumerate(sorted(SAMPLE.iterdir())[:count]):
        small = cv2.imread(str(source), cv2.IMREAD_GRAYSCALE)
        large = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
        grain = np.random.default_rng(number).normal(0, 1.2, large.shape)
        path = folder / f"{number}.png"
        Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8)).save(path)
        paths.append(path)
    return paths


def data_set(folder: Path, files: list[Path], count: int) -> Path:
    """Make a data set of `count` names for a few files, each file a patient of its own."""
    images = folder / "images"
    images.mkdir(parents=True)
    rows = []
    for number in range(count):
        patient, follow_up = number % len(files), number // len(files)
        name = f"{patient:08d}_{follow_up:05d}.png"
        os.link(files[patient], images / name)
        rows.append((name, "No Finding", follow_up, patient, 50, "F", "PA"))
    columns = ["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age"]
    table = pd.DataFrame(rows, columns=[*columns, "Patient Gender", "View Position"])
    table.to_csv(folder / "Data_Entry_2017_v2020.csv", index=False)
    return folder


def one_worker(files: list[Path]) -> dict[str, dict[str, float]]:
    """One worker's images a second against the authors' transform, and against inflating alone."""

    def ours() -> None:
        for path in files:
            pixels = decode(path.read_bytes(), max_pixels=MAX_PIXELS)
            transform(pixels, Transform(SIZE, equalise=True))

    def authors() -> None:
        for path in files:
            reference.transform(path, SIZE)

    compressed = [reference.compressed_pixels(path) for path in files]

    def inflating() -> None:
        for data in compressed:
            zlib.decompress(data)

    return {
        "one worker / the authors' transform": compare(ours, authors, len(files)),
        "one worker / inflating alone": compare(ours, inflating, len(files)),
    }


def two_workers(raw_dir: Path, root: Path, files: list[Path]) -> dict[str, dict[str, float]]:
    """Two workers against one; and what two threads that only inflate gain on this machine."""
    count = len(plan(raw_dir).table)
    compressed = [reference.compressed_pixels(path) for path in files] * 4

    def inflate(threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(zlib.decompress, compressed))

    return {
        "two workers / one": compare(
            partial(build, raw_dir, root, 2), partial(build, raw_dir, root, 1), count, rounds=3
        ),
        "two threads that inflate / one": compare(
            partial(inflate, 2), partial(inflate, 1), len(compressed)
        ),
    }


def flatness(files: list[Path], folder: Path, few: int, many: int) -> dict[str, float]:
    """Images a second over many images against few: 1 is flat."""
    sets = {count: data_set(folder / f"raw_{count}", files, count) for count in (few, many)}
    build(sets[few], folder / "store")  # the first time is not like the others
    few_seconds = [seconds_of(lambda: build(sets[few], folder / "store")) for _ in range(2)]
    many_seconds = seconds_of(lambda: build(sets[many], folder / "store"))
    few_seconds.append(seconds_of(lambda: build(sets[few], folder / "store")))
    rates = {"ours": many / many_seconds, "plain": few / sorted(few_seconds)[1]}
    return rates | {"ratio": rates["ours"] / rates["plain"]}


def reading(root: Path) -> float:
    """GB a second from a warm page cache into memory."""
    (version,) = root.iterdir()
    store = open_store(version)
    everything = np.arange(len(store))
    store.read(everything)
    seconds = min(seconds_of(lambda: store.read(everything)) for _ in range(3))
    return len(store) * store.size**2 / seconds / 1e9


def many_rows(folder: Path) -> dict[str, float]:
    """100,000 small images: the parent's peak memory, and seconds of a second run."""
    raw_dir = data_set(folder / "raw", large_pngs(folder / "files", side=24), MANY)
    built = subprocess.run(
        [sys.executable, Path(__file__).with_name("stores.py"), raw_dir, folder / "store"],
        capture_output=True,
        text=True,
        check=True,
    )
    memory, seconds = map(float, built.stdout.split())
    project = folder / "project"
    shutil.copytree(REPOSITORY / "conf", project / "conf")
    shutil.copy(REPOSITORY / "pyproject.toml", project)
    (project / "src").mkdir()
    (project / "src/cxr_pipeline").symlink_to(REPOSITORY / "src/cxr_pipeline")
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}

    def command(data: Path) -> float:
        parameters = f"--params=raw_dir={data},preprocessing.size=16"
        run = partial(
            subprocess.run,
            [sys.executable, "-m", "kedro", "run", "--pipelines=preprocessing", parameters],
            cwd=project,
            env=environment,
            capture_output=True,
            check=True,
        )
        run()
        return min(seconds_of(run) for _ in range(3))

    return {
        "peak memory of the parent, 100,000 rows, MB": memory,
        "second time, 100,000 rows, s": seconds,
        "the same as a whole `kedro run`, s": command(raw_dir),
        "a whole `kedro run` over 256 rows, s": command(SAMPLE.parent),
    }
