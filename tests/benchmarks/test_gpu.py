import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

# As if they were not installed: Python's own finder does not find them.
WITHOUT = """
import runpy, sys
from importlib.machinery import PathFinder

ABSENT = set(
    "kedro kedro_datasets kedro_mlflow mlflow cv2 isal sklearn pandera pydantic matplotlib".split()
)

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.split(".")[0] in ABSENT else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
sys.argv = sys.argv[1:]
sys.path.insert(0, "benchmarks")
runpy.run_path(sys.argv[0], run_name="__main__")
assert not ABSENT & sys.modules.keys()
"""


def run_gpu(results, *arguments):
    command = [sys.executable, "-c", WITHOUT, "benchmarks/gpu.py", "--accelerator", "cpu"]
    command += ["--batch", "2", "--steps", "1", "--warm-up", "1", "--product", "64"]
    return subprocess.run(
        [*command, "--results", str(results), *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    results = tmp_path_factory.mktemp("gpu") / "gpu.json"
    done = run_gpu(
        results, "--precision", "bf16-mixed", "--models", "gan", "vae", "gmvae v8, frozen"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(results.read_text())


def test_it_runs_without_kedro_and_mlflow_and_says_how_fast_each_model_is(measured):
    printed, record = measured
    assert [row["case"] for row in record["rows"]] == ["gan", "vae", "gmvae v8, frozen"]
    assert all(row["case"] in printed for row in record["rows"])
    assert all(row["precision"] == "bf16-mixed" for row in record["rows"])
    assert record["device"] in printed


def test_an_epoch_is_the_papers(measured):
    for row in measured[1]["rows"]:
        assert row["epoch_seconds"] * row["images_per_second"] == pytest.approx(44_625)
    assert [row["paper_epoch_seconds"] / 60 for row in measured[1]["rows"]] == [24, 48, 30]


def test_operations_are_those_of_the_layers(measured):
    # The GMVAE of 2 images: 1x1 convolution, heads and decoder forward, about twice that backward,
    # each product of N x M x K counted as 2NMK.
    row = measured[1]["rows"][2]
    forward = 2 * 2 * (
        512 * 300 * 49 + 2 * 300 * 2000 + 2000 * 128 * 14 * 14
        + 16 * (128 * 64 * 14**2 + 64 * 32 * 28**2 + 32 * 16 * 56**2 + 16 * 3 * 112**2)
    )  # fmt: skip
    counted = row["flops_per_second"] * row["step_seconds"]
    assert 2.8 * forward < counted < 3.4 * forward
