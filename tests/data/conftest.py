"""Small real data sets: label files with NIH's headers, and PNG files written by Pillow."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_pipeline.data.findings import CXR_LT_FINDINGS, FINDINGS, NO_FINDING
from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.data.plan import plan_store
from cxr_pipeline.data.splits import split_by_patient
from cxr_pipeline.data.transforms import Transform

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)

CXR_LT_NAMES = [*FINDINGS, *CXR_LT_FINDINGS, NO_FINDING]
CXR_LT_HEADER = ",".join(["id", *(name.replace("_", " ") for name in CXR_LT_NAMES), "subj_id"])


@pytest.fixture(scope="session")
def shared_data():
    folder = Path(__file__).resolve().parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data, ../shared/data beside the repository, are not here")
    return folder


@pytest.fixture(scope="session")
def nih1000(shared_data):
    return shared_data / "nih1000"


@pytest.fixture(scope="session")
def row():
    """Make one line of NIH's label file."""

    def make(
        image="00000001_000.png",
        findings="No Finding",
        follow_up="0",
        patient="1",
        age="58",
        sex="M",
        view="PA",
    ):
        cells = [image, findings, follow_up, patient, age, sex, view]
        return ",".join([*cells, "2682", "2749", "0.143", "0.143"])

    return make


@pytest.fixture(scope="session")
def write_csv():
    """Write a label file, by default NIH's corrected one."""

    def write(folder, rows, name="Data_Entry_2017_v2020.csv", header=HEADER, end=""):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_text("".join(f"{line}{end}\n" for line in [header, *rows]))
        return path

    return write


@pytest.fixture(scope="session")
def lt_row():
    """Make one line of a file of NIH-CXR-LT."""

    def make(image="00000001_000.png", findings=NO_FINDING, patient="00000001"):
        flags = [str(int(name in findings.split("|"))) for name in CXR_LT_NAMES]
        return ",".join([image, *flags, patient])

    return make


@pytest.fixture(scope="session")
def write_lt(write_csv):
    """Write a file of NIH-CXR-LT."""

    def write(folder, split, rows, header=CXR_LT_HEADER):
        return write_csv(folder, rows, name=f"nih-cxr-lt_{split}.csv", header=header)

    return write


@pytest.fixture(scope="session")
def make_data_set(row, write_csv):
    """Write a data set of small random pictures, two images a patient."""

    def make(folder, count=12, layout="images"):
        rng = np.random.default_rng(7)
        names = [f"{number // 2:08d}_{number % 2:03d}.png" for number in range(count)]
        findings = ["No Finding", "Mass", "Cardiomegaly|Emphysema", ""]
        rows = []
        for number, name in enumerate(names):
            rows.append(row(name, findings[number % 4], str(number % 2), str(number // 2)))
            place = folder / layout.format(number % 2 + 1)
            place.mkdir(parents=True, exist_ok=True)
            shape = tuple(rng.integers(20, 48, 2))
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(place / name)
        write_csv(folder, rows)
        return folder

    return make


@pytest.fixture
def raw(tmp_path, make_data_set):
    """Twelve images of six patients, to spoil."""
    return make_data_set(tmp_path / "raw")


@pytest.fixture
def root(tmp_path):
    """Where the stores of that data set go."""
    return tmp_path / "stores"


@pytest.fixture(scope="session")
def plan():
    """Plan the store of a raw folder."""

    def make(folder, *, size=16, equalise=True, **changes):
        settings = {
            "how": Transform(size, equalise),
            "shard_size": 5,
            "max_pixels": 10_000,
            "max_quarantined": 0.5,
            "workers": 2,
        }
        labels = read_labels(folder)
        labels["split"] = split_by_patient(labels["patient"], validation=0.2, test=0.2, seed=0)
        return plan_store(labels, folder, **settings | changes)

    return make
