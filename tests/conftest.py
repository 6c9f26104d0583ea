"""A small project to run: the real configuration, a database and data folders of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import settings
from tests.web import WebServer

from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.data.plan import plan_store
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.data.transforms import Transform

# The same examples each time, and however long a busy machine takes for one.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")

REPOSITORY = Path(__file__).resolve().parents[1]
SAMPLE = REPOSITORY / "data/01_raw/sample"
SHARED = REPOSITORY.parent / "shared/data"

FEW_IMAGES = 48
TEN_SPLIT = "labels.seed=4"

FIRST_PATIENT = 71_430_000
"""Of `copy_recognisable`: numbers that stand nowhere else."""


class Project:
    """A Kedro project in a temporary folder, run as a user runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.below = "."
        self.database = f"sqlite:///{folder / 'tracking.db'}"
        shutil.copytree(REPOSITORY / "conf", folder / "conf")
        shutil.rmtree(folder / "conf/local")
        (folder / "conf/local").mkdir()
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(REPOSITORY / name, folder)
        (folder / "src").mkdir()
        (folder / "src/cxr_pipeline").symlink_to(REPOSITORY / "src/cxr_pipeline")
        for arguments in (["init"], ["add", "pyproject.toml"], ["commit", "--message=first"]):
            identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
            command = ["git", "-C", str(folder), *identity, *arguments]
            subprocess.run(command, check=True, capture_output=True)
        (folder / ".git/info/exclude").write_text("*\n")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "kedro", "run", *arguments]

    def environment(self) -> dict[str, str]:
        return os.environ | {"MLFLOW_TRACKING_URI": self.database}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder / self.below,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


@pytest.fixture(scope="session")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw data set of the first sample images."""
    return copy_sample(tmp_path_factory.mktemp("raw"), FEW_IMAGES)


@pytest.fixture(scope="session")
def ten_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few enough for the GMVAE's encoder: with `TEN_SPLIT` 6 train, 2 validation, 2 test."""
    return copy_sample(tmp_path_factory.mktemp("raw"), 10)


def copy_sample(folder: Path, count: int) -> Path:
    table = pd.read_csv(SAMPLE / "Data_Entry_2017_v2020.csv").head(count)
    table.to_csv(folder / "Data_Entry_2017_v2020.csv", index=False)
    (folder / "images").mkdir()
    for name in table["Image Index"]:
        shutil.copy(SAMPLE / "images" / name, folder / "images")
    return folder


def copy_recognisable(folder: Path, count: int) -> Path:
    """A raw data set whose image names and patient numbers can be told from all other numbers."""
    table = pd.read_csv(SAMPLE / "Data_Entry_2017_v2020.csv")
    table = table.drop_duplicates("Patient ID").head(count)
    patients = [FIRST_PATIENT + number for number in range(count)]
    names = [f"{patient}_000.png" for patient in patients]
    (folder / "images").mkdir()
    for old, new in zip(table["Image Index"], names, strict=True):
        shutil.copy(SAMPLE / "images" / old, folder / "images" / new)
    table = table.assign(**{"Image Index": names, "Patient ID": patients})
    table.to_csv(folder / "Data_Entry_2017_v2020.csv", index=False)
    return folder


def make_store(raw_dir: Path, root: Path, splits: list[str], *, size: int = 224) -> ImageStore:
    """Build a store of a raw data set's first images, two a shard, each of the split named."""
    labels = read_labels(raw_dir).head(len(splits)).assign(split=splits)
    how = Transform(size, equalise=True)
    limits = {"max_pixels": 100_000, "max_quarantined": 0.0, "workers": 1}
    return build_store(plan_store(labels, raw_dir, how=how, shard_size=2, **limits), root)


@pytest.fixture(scope="session")
def store_224(few_images: Path, tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """A store of the GMVAE's size: four images to train on, two for validation."""
    splits = ["train"] * 4 + ["validation"] * 2
    return make_store(few_images, tmp_path_factory.mktemp("images_224"), splits)


@pytest.fixture
def raw_dir(few_images: Path, tmp_path: Path) -> Path:
    """A raw data set of one's own, to spoil."""
    return Path(shutil.copytree(few_images, tmp_path / "raw_dir"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder)


@pytest.fixture(scope="session")
def one_line_error():
    """Call what must be refused, and give the message, which must be one line of a ValueError."""

    def call(action, *arguments, **named):
        with pytest.raises(ValueError, match=r"\S") as caught:
            action(*arguments, **named)
        assert type(caught.value) is ValueError
        message = str(caught.value)
        assert message.splitlines() == [message]
        return message

    return call


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A web server of one's own, that no proxy stands before."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    server = WebServer()
    yield server
    server.close()


def read_picture(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture is not None, path
    return picture
