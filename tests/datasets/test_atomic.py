import inspect
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import yaml
from kedro.io import DatasetError

from cxr_pipeline.datasets.atomic import (
    CSVDataset,
    JSONDataset,
    ParquetDataset,
    TextDataset,
)
from cxr_pipeline.datasets.atomic_chart import ChartDataset

CATALOG = sorted((Path(__file__).resolve().parents[2] / "conf").glob("*/catalog*.yml"))

TABLE = pd.DataFrame({"step": [1, 2], "value": [0.5, 0.25]})


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (CSVDataset, TABLE),
        (ParquetDataset, TABLE),
        (JSONDataset, {"steps": 3, "findings": ["Mass"]}),
        (TextDataset, "<p>Größe</p>"),
    ],
)
def test_what_is_saved_comes_back_in_place_of_what_was_there(tmp_path, kind, data):
    path = tmp_path / "new/file"
    arguments = {"save_args": {"index": False}} if kind is CSVDataset else {}
    dataset = kind(filepath=str(path), **arguments)
    assert not dataset.exists()
    for _ in range(2):
        dataset.save(data)
        loaded = dataset.load()
        assert loaded.equals(data) if isinstance(data, pd.DataFrame) else loaded == data
        assert list(path.parent.iterdir()) == [path]


def test_a_chart_is_a_png(tmp_path):
    path = tmp_path / "losses.png"
    ChartDataset(filepath=str(path)).save(plt.figure())
    assert path.read_bytes().startswith(b"\x89PNG")


# What each of them begins to write and cannot end.
UNWRITABLE = {
    CSVDataset: pd.DataFrame({"a": pd.Series([1, "\ud800"], dtype=object)}),
    ParquetDataset: pd.DataFrame({"a": pd.Series([1, "text"], dtype=object)}),
    JSONDataset: {"a": 1, "b": {1, 2}},
    TextDataset: "\ud800",
    ChartDataset: "no figure",
}


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_what_cannot_be_written_leaves_the_old_file_and_no_litter(tmp_path, kind):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(DatasetError):
        kind(filepath=str(path)).save(UNWRITABLE[kind])
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


LARGE = {
    "CSVDataset": "pandas.DataFrame({'a': numpy.arange(100_000)})",
    "ParquetDataset": "pandas.DataFrame({'a': numpy.random.default_rng(0).random(100_000)})",
    "JSONDataset": "list(range(100_000))",
    "TextDataset": "'a' * 1_000_000",
    "ChartDataset": "figure(numpy.random.default_rng(0).random((500, 500)))",
}

PROGRAM = """
import resource, sys
import matplotlib.pyplot as plt
import numpy, pandas
from cxr_pipeline.cli import root_message
from cxr_pipeline.datasets import atomic, atomic_chart

def figure(picture):
    figure, axes = plt.subplots()
    axes.imshow(picture)
    return figure

resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
module = atomic_chart if sys.argv[2] == "ChartDataset" else atomic
try:
    getattr(module, sys.argv[2])(filepath=sys.argv[1]).save(eval(sys.argv[3]))
except Exception as error:
    print(root_message(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits on files")
@pytest.mark.parametrize("kind", LARGE)
def test_where_there_is_no_room_the_old_file_stays_and_one_line_says_so(tmp_path, kind):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", PROGRAM, str(path), kind, LARGE[kind]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == (
        f"'{path}' could not be written (File too large): make room on its disk, or raise the "
        "limit on the size of files (`ulimit -f`), and run again\n"
    ), done.stderr
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_kedro_viz_shows_them_as_those_that_they_derive_from(tmp_path):
    table = CSVDataset(filepath=str(tmp_path / "table.csv"), save_args={"index": False})
    table.save(TABLE)
    assert table.preview()["data"] == [[1, 0.5], [2, 0.25]]
    for kind, shown in (
        (CSVDataset, "TablePreview"),
        (JSONDataset, "JSONPreview"),
        (ChartDataset, "ImagePreview"),
    ):
        annotation = inspect.signature(kind.preview).return_annotation
        assert getattr(annotation, "__name__", annotation) == shown


def test_no_data_set_of_the_catalog_is_one_that_writes_in_place():
    for path in CATALOG:
        for name, entry in yaml.safe_load(path.read_text()).items():
            own = entry["type"].startswith("cxr_pipeline.")
            assert own or entry["type"] == "MemoryDataset", name
