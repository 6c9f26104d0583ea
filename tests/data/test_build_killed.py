"""Builds of the image store that SIGKILL ends at random moments."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from tests.data.stores import LONG_AGO, age, contents, pad, swap_unseen

from cxr_pipeline.data.files import file_digest
from cxr_pipeline.data.store import MANIFEST

KILLS = 5
WORKERS = 2
SHARDS = 60
IMAGES_A_SHARD = 8

PROGRAM = f"""
import sys
from pathlib import Path
from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.data.plan import plan_store
from cxr_pipeline.data.transforms import Transform

raw, root, verify = sys.argv[1:]
plan = plan_store(
    read_labels(raw).assign(split="train"),
    raw,
    how=Transform(32, equalise=True),
    shard_size={IMAGES_A_SHARD},
    max_pixels=10**6,
    max_quarantined=0.5,
    workers={WORKERS},
    verify=verify == "verify",
)
build_store(plan, Path(root))
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory, row, write_csv):
    """Images that take a moment each; one in nineteen is broken."""
    folder = tmp_path_factory.mktemp("raw")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    names = [f"{number:08d}_000.png" for number in range(SHARDS * IMAGES_A_SHARD)]
    write_csv(folder, [row(name, patient=name[:8]) for name in names])
    for number, name in enumerate(names):
        pixels = rng.integers(0, 256, (250, 250), dtype=np.uint8)
        _, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        (folder / "images" / name).write_bytes(data.tobytes()[: 900 if number % 19 == 0 else None])
    pad((folder / "images").iterdir(), length=70_000)
    return folder


def start(raw, root, verify=""):
    command = [sys.executable, "-c", PROGRAM, str(raw), str(root), verify]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def finish(*arguments):
    """Build without interruption, and return the store's folder."""
    process = start(*arguments)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    (folder,) = arguments[1].iterdir()
    return folder


def made(folder, kind="json"):
    """The files of shards that were written since the folder was aged, and their times."""
    times = {path: path.stat().st_mtime_ns for path in folder.glob(f"shard_*.{kind}")}
    return {path: stamp for path, stamp in times.items() if stamp != LONG_AGO}


def kill_at_random(process, folder, chance):
    """SIGKILL a build after some more shards and a moment."""
    enough = len(made(folder)) + chance.randint(1, 8)
    while len(made(folder)) < enough and process.poll() is None:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.02))
    process.kill()
    process.wait(timeout=60)
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL, "it was done before it could be killed"


def assert_killed_builds_end_in(expected, raw, root, folder, verify=""):
    chance = random.Random(7)
    kept = made(folder)
    for _ in range(KILLS):
        kill_at_random(start(raw, root, verify), folder, chance)
        now = made(folder)
        assert kept.items() <= now.items()  # nothing that was finished was made again
        kept = now
        written = {
            path for path in folder.glob("shard_*.npy") if path.stat().st_mtime_ns != LONG_AGO
        }
        unrecorded = {path.with_suffix(".json") for path in written} - now.keys()
        assert len(unrecorded) <= WORKERS
        if (folder / MANIFEST).exists():
            shards = json.loads((folder / MANIFEST).read_text())["shards"]
            assert all(file_digest(folder / each["file"]) == each["sha256"] for each in shards)
    assert 0 < len(kept) < SHARDS
    finish(raw, root, verify)
    assert kept.items() <= made(folder).items()
    assert contents(folder) == expected


def test_a_build_killed_five_times_ends_in_the_bytes_of_one_that_was_not(raw, tmp_path):
    whole = finish(raw, tmp_path / "whole")
    folder = tmp_path / "killed" / whole.name
    assert_killed_builds_end_in(contents(whole), raw, tmp_path / "killed", folder)


def test_verifying_killed_five_times_ends_in_the_bytes_of_a_build_of_what_is_there(raw, tmp_path):
    changed = shutil.copytree(raw, tmp_path / "raw")
    folder = finish(changed, tmp_path / "killed")
    before = contents(folder)
    age(folder)
    paths = sorted((changed / "images").iterdir())
    for shard in _shards(paths):
        swap_unseen(shard[1], shard[2])
    whole = finish(changed, tmp_path / "whole")
    assert whole.name == folder.name
    assert contents(whole) != before
    assert_killed_builds_end_in(contents(whole), changed, tmp_path / "killed", folder, "verify")


def _shards(paths):
    return [paths[n : n + IMAGES_A_SHARD] for n in range(0, len(paths), IMAGES_A_SHARD)]
