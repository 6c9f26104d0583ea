"""`kedro run --pipeline=download` from a server of this machine, killed half-way, then used."""

import random
import signal
import subprocess
import tarfile
import time
from io import BytesIO

import mlflow
import pandas as pd
import pytest
import yaml
from tests.conftest import FEW_IMAGES
from tests.web import Answer

from cxr_pipeline.data.files import file_digest

LABELS = "Data_Entry_2017_v2020.csv"
ARCHIVES = ["images_001.tar.gz", "images_002.tar.gz"]
STALLED = 600_000


@pytest.fixture
def served(project, web, few_images, tmp_path):
    """NIH's layout on a server, and a configuration that points there."""
    images = sorted((few_images / "images").iterdir())
    labels = tmp_path / LABELS
    text = (few_images / LABELS).read_text()
    labels.write_text(text.replace("Patient Gender", "Patient Sex"))  # as NIH's is
    web.serve(f"/{LABELS}", labels.read_bytes())
    # Sections are merged with those of conf/base, lists are replaced.
    size, sha256 = labels.stat().st_size, file_digest(labels)
    files = [{"name": LABELS, "size": size, "sha256": sha256}]
    for number, name in enumerate(ARCHIVES):
        path = tmp_path / name
        with tarfile.open(path, "w:gz") as tar:
            notes = tarfile.TarInfo("README")
            notes.size = 10**6  # so that there is a middle to be killed in
            tar.addfile(notes, BytesIO(random.Random(0).randbytes(notes.size)))
            for image in images[number::2]:
                tar.add(image, f"images/{image.name}")
        web.serve(f"/{name}", path.read_bytes())
        files.append({"name": name, "size": path.stat().st_size, "md5": file_digest(path, "md5")})
    for file in files:
        file["url"] = web.address(f"/{file['name']}")
    parameters = {"folder": "data/cxr14", "label_file": files[0], "archives": files[1:]}
    local = project.folder / "conf/local/parameters_download.yml"
    local.write_text(yaml.safe_dump({"download": parameters}))
    return web


def kill_in_the_middle(project, part):
    process = subprocess.Popen(
        project.command("--pipeline=download"),
        cwd=project.folder,
        env=project.environment(),
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if part.exists() and part.stat().st_size:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors


def test_a_killed_download_goes_on_and_what_it_fetched_is_used(project, served):
    folder = project.folder / "data/cxr14"
    served.spoil(f"/{ARCHIVES[1]}", Answer(stall_after=STALLED))
    kill_in_the_middle(project, folder / f"{ARCHIVES[1]}.part")
    assert sorted(path.name for path in folder.iterdir()) == [
        LABELS, "images_001", f"{ARCHIVES[1]}.part", f"{ARCHIVES[1]}.part.json",
    ]  # fmt: skip
    arrived = (folder / f"{ARCHIVES[1]}.part").stat().st_size

    served.seen.clear()
    result = project.run("--pipeline=download")
    assert result.returncode == 0, result.stderr
    assert [seen[:3] for seen in served.seen] == [
        (f"/{ARCHIVES[1]}", f"bytes={arrived}-", '"first"')
    ]
    assert sorted(path.name for path in folder.iterdir()) == [LABELS, "images_001", "images_002"]
    assert "--params=raw_dir=data/cxr14" in result.stderr
    table = pd.read_csv(project.folder / "data/08_reporting/downloaded_files.csv")
    assert table["file"].tolist() == [LABELS, *ARCHIVES]
    assert table["status"].tolist() == ["kept", "kept", "fetched"]
    assert table["sha256"][0] == file_digest(folder / LABELS)
    assert table["bytes"].tolist() == [len(served.files[f"/{name}"].data) for name in table["file"]]
    client = mlflow.MlflowClient(project.database)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    assert client.search_runs(experiments) == []

    used = project.run("--pipeline=preprocessing", "--params=raw_dir=data/cxr14")
    assert used.returncode == 0, used.stderr
    assert f"{FEW_IMAGES} images kept, 0 quarantined" in used.stderr
