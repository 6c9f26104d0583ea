"""What a user sees of `kedro run` when something is wrong, and how a run ends on a signal."""

import json
import shutil
import signal
import socket
import subprocess
import time

import mlflow
import pandas as pd
import pytest
from kedro.io import DatasetError
from tests.conftest import FEW_IMAGES, SAMPLE, SHARED

from cxr_pipeline.cli import root_message
from cxr_pipeline.training.checkpoint import find_checkpoint
from cxr_pipeline.training.preflight import check_training


def error_of(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failed run ends with; no library's traceback stands above it."""
    output = result.stdout + result.stderr
    assert result.returncode == 1, output
    assert "Traceback" not in output, output
    # No library repeats it above, nor advises on how to go on.
    (*before, error) = result.stderr.splitlines()
    assert error.startswith("Error: "), output
    assert not any(line.split()[1:2] == ["ERROR"] for line in before), output
    assert "have not run" not in output, output
    assert "No nodes ran" not in output, output
    return error


def test_no_raw_dir(project):
    error = error_of(project.run("--pipeline=labels", "--params=raw_dir=/nowhere"))
    assert "raw_dir '/nowhere' does not exist" in error
    assert "--params=raw_dir=" in error


def test_the_paper_s_environment_without_its_data_says_how_to_name_it(project):
    error = error_of(project.run("--pipeline=labels", "--env=cxr14"))
    assert "raw_dir is not set: set CXR14_DIR" in error


def test_no_csv_in_raw_dir(project, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    error = error_of(project.run("--pipeline=labels", f"--params=raw_dir={empty}"))
    assert f"raw_dir '{empty}' holds no CSV with labels" in error


def test_a_csv_without_the_needed_columns(project, raw_dir):
    path = raw_dir / "Data_Entry_2017_v2020.csv"
    pd.read_csv(path).drop(columns="Patient ID").to_csv(path, index=False)
    error = error_of(project.run("--pipeline=labels", f"--params=raw_dir={raw_dir}"))
    assert "lacks the column(s) Patient ID" in error


def test_every_violation_of_the_labels_is_listed_in_a_file_that_the_error_names(project, raw_dir):
    path = raw_dir / "Data_Entry_2017_v2020.csv"
    lines = path.read_text().splitlines()
    expected = []
    for place in range(1, len(lines)):
        image, _, follow_up, patient, _, *others = lines[place].split(",")
        lines[place] = ",".join([image, "Brokenness", follow_up, patient, "old", *others])
        # The line in the file: the header is 1, and a blank one goes before the last.
        line = place + 1 + (place == len(lines) - 1)
        expected += [
            (line, "age", "old", "is no age such as 58, 058Y, 011M or 023D"),
            (line, "findings", "Brokenness", "holds an unknown finding"),
        ]
    path.write_text("\n".join([*lines[:-1], "", lines[-1]]))
    error = error_of(project.run("--pipeline=labels", f"--params=raw_dir={raw_dir}"))
    listed = project.folder / "data/08_reporting/label_violations.csv"
    assert f"{2 * FEW_IMAGES} violations in the labels: {path.name} line 2: " in error
    assert "findings 'Brokenness' holds an unknown finding" in error
    assert f"and {2 * FEW_IMAGES - 5} more" in error
    assert f"(all in '{listed}')" in error
    table = pd.read_csv(listed)
    assert set(table["file"]) == {path.name}
    columns = ["line", "column", "value", "problem"]
    assert list(table[columns].itertuples(index=False, name=None)) == expected
    assert not (project.folder / "data/02_intermediate/labels.parquet").exists()


def split_by_list(raw_dir, *, torn):
    """Write NIH's lists, with some patients held out; torn, one of them but for an image."""
    table = pd.read_csv(raw_dir / "Data_Entry_2017_v2020.csv")
    patients = table["Patient ID"].unique()
    several = table["Patient ID"].value_counts().loc[lambda counts: counts > 1].index[0]
    held_out = table["Patient ID"].isin({*patients[::3], several})
    if torn:
        held_out[table.index[table["Patient ID"] == several][0]] = False
    images = table["Image Index"]
    (raw_dir / "train_val_list.txt").write_text("\n".join(images[~held_out]))
    (raw_dir / "test_list.txt").write_text("\n".join(images[held_out]))
    return several, set(images[held_out])


def test_a_patient_in_two_official_lists(project, raw_dir):
    patient, _ = split_by_list(raw_dir, torn=True)
    parameters = f"--params=raw_dir={raw_dir},labels.splits=nih"
    error = error_of(project.run("--pipeline=labels", parameters))
    assert f"patient '{patient}' is in " in error
    assert "labels.splits=patient" in error


def test_nihs_official_lists(project, raw_dir):
    _, held_out = split_by_list(raw_dir, torn=False)
    result = project.run("--pipeline=labels", f"--params=raw_dir={raw_dir},labels.splits=nih")
    assert result.returncode == 0, result.stderr
    labels = pd.read_parquet(project.folder / "data/02_intermediate/labels.parquet")
    assert set(labels.loc[labels["split"] == "test", "image"]) == held_out
    assert labels.groupby("patient")["split"].nunique().max() == 1


def test_an_unknown_parameter_is_refused_before_any_work(project, raw_dir):
    error = error_of(project.run("--pipeline=gan", f"--params=raw_dir={raw_dir},gan.epoch=1"))
    assert "unknown parameter 'gan.epoch': did you mean 'gan.epochs'?" in error
    assert not (project.folder / "data").exists()
    assert not (project.folder / "tracking.db").exists()


def test_an_unknown_environment(project):
    assert "nope" in error_of(project.run("--pipeline=labels", "--env=nope"))


def test_settings_of_models_that_there_are_not_are_listed_before_any_work(project, raw_dir):
    settings = {
        "gan.sample_findings": "Mess",
        "gmvae.version": "v9",
        "gmvae.versions.v5.encoder": "resnet50",
        "vae_beta_sweep.betas": "0.1|no",
    }
    parameters = ",".join(f"{name}={value}" for name, value in settings.items())
    error = error_of(project.run("--pipeline=labels", f"--params=raw_dir={raw_dir},{parameters}"))
    assert "unknown finding 'Mess': choose from Atelectasis" in error
    assert "gmvae.versions.v5.encoder='resnet50'" in error
    assert "vae_beta_sweep.betas" in error
    assert nothing_was_made(project)


def nothing_was_made(project) -> bool:
    """Whether a run left neither data nor a run in MLflow."""
    database = project.folder / "tracking.db"
    if database.exists():
        client = mlflow.MlflowClient(project.database)
        experiments = [found.experiment_id for found in client.search_experiments()]
        assert client.search_runs(experiments) == []
    return not (project.folder / "data").exists()


def test_a_device_that_is_not_there_is_refused_before_any_work(project, raw_dir, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    parameters = f"--params=raw_dir={raw_dir},gan.accelerator=cuda"
    error = error_of(project.run("--pipeline=gan", parameters))
    assert error == "Error: accelerator=cuda is not there: set it to auto or cpu"
    assert nothing_was_made(project)


def test_imagenet_s_weights_without_a_network_are_refused_within_seconds_before_any_work(
    project, raw_dir, monkeypatch, tmp_path
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{closed.getsockname()[1]}")
        parameters = f"--params=raw_dir={raw_dir},gmvae.weights=imagenet"
        began = time.monotonic()
        error = error_of(project.run("--pipeline=gmvae", parameters))
    assert time.monotonic() - began < 60  # most of it is the start on a busy machine
    assert error.startswith("Error: gmvae.weights=imagenet: cannot download https://")
    assert "put that file at a PATH and set gmvae.weights=PATH" in error
    assert nothing_was_made(project)


def test_only_a_run_of_the_same_settings_is_resumed(project, raw_dir):
    def train(*settings: str) -> subprocess.CompletedProcess[str]:
        own = ",".join(f"vae.{setting}" for setting in ("dim_z=8", "batch_size=4", *settings))
        parameters = f"--params=raw_dir={raw_dir},{own}"
        return project.run("--pipeline=vae", "--to-nodes=vae.train", parameters)

    first = train("max_steps=1")
    assert first.returncode == 0, first.stderr
    shutil.rmtree(project.folder / "data/02_intermediate")
    error = error_of(train("max_steps=2", "resume=true", "beta=0.1"))
    model = project.folder / "data/06_models/vae"
    checkpoint = model / "checkpoint"
    assert f"the training in '{checkpoint}' is of another run (beta was 1.0, is 0.1)" in error
    assert not (project.folder / "data/02_intermediate").exists()
    own = json.loads((model / "config.json").read_text())["parameters"]
    check_training("vae", own | {"resume": True, "max_steps": 2}, checkpoint)


def test_a_report_of_an_empty_project_says_how_to_fill_it(project):
    result = project.run("--pipelines=reporting")
    assert result.returncode == 0, result.stderr
    page = (project.folder / "data/08_reporting/report.html").read_text()
    assert "kedro run --pipeline=gan" in page
    assert "3,606,976" in page


def test_few_images_in_a_folder_of_any_name_from_a_folder_below_the_project(project, raw_dir):
    few = raw_dir.rename(raw_dir.parent / "Röntgen bilder")
    path = few / "Data_Entry_2017_v2020.csv"
    pd.read_csv(path).head(20).to_csv(path, index=False)
    project.below = "conf"
    parameters = f"--params=raw_dir={few},gan.max_steps=1,gan.samples=2"
    result = project.run("--pipelines=gan", parameters)
    assert result.returncode == 0, result.stderr
    said = result.stderr
    assert "gan.batch_size=64" in said  # more than there are
    assert "28 image files" in said  # those that no row lists any more
    assert (project.folder / "data/08_reporting/gan/samples.png").is_file()


def test_an_unknown_pipeline(project):
    assert "'gun'" in error_of(project.run("--pipeline=gun"))


def test_images_of_another_size_than_the_gan_draws_are_refused_before_any_work(project, raw_dir):
    parameters = f"--params=raw_dir={raw_dir},preprocessing.size=64"
    error = error_of(project.run("--pipeline=gan", parameters))
    assert "preprocessing.size=128" in error
    assert nothing_was_made(project)


def test_single_bad_images_are_quarantined_counted_and_named(project, raw_dir):
    names = sorted(path.name for path in (raw_dir / "images").iterdir())
    (raw_dir / "images" / names[0]).unlink()
    (raw_dir / "images" / names[1]).write_bytes(b"no image")
    parameters = f"raw_dir={raw_dir},preprocessing.max_quarantined=0.1"
    result = project.run("--pipeline=preprocessing", f"--params={parameters}")
    assert result.returncode == 0, result.stderr
    assert "2 images quarantined" in result.stderr
    assert f"{FEW_IMAGES - 2} images kept" in result.stderr
    quarantine = pd.read_csv(project.folder / "data/08_reporting/quarantine.csv")
    assert dict(zip(quarantine["image"], quarantine["reason"], strict=True)) == {
        names[0]: "missing file",
        names[1]: "not a readable image",
    }


def test_too_many_bad_images_stop_the_run(project, raw_dir):
    for path in sorted((raw_dir / "images").iterdir())[:5]:
        path.write_bytes(path.read_bytes()[:500])
    error = error_of(project.run("--pipeline=preprocessing", f"--params=raw_dir={raw_dir}"))
    assert f"5 of {FEW_IMAGES} images (10.4%) are unusable (5 truncated file)" in error
    assert "max_quarantined=0.05" in error


def test_no_usable_image_at_all(project, raw_dir):
    for path in (raw_dir / "images").iterdir():
        path.write_bytes(b"")
    error = error_of(project.run("--pipeline=preprocessing", f"--params=raw_dir={raw_dir}"))
    assert f"none of the {FEW_IMAGES} images is usable ({FEW_IMAGES} empty file)" in error


def test_labels_alone_of_the_whole_data_set(project):
    labels = SHARED / "Data_Entry_2017_v2020.csv.gz"
    if not labels.is_file():
        pytest.skip("NIH's label file is not here")
    result = project.run("--pipeline=labels", f"--params=raw_dir={labels}")
    assert result.returncode == 0, result.stderr
    counts = pd.read_csv(project.folder / "data/08_reporting/class_counts.csv")
    no_finding = counts["finding"] == "No Finding"
    assert counts.loc[no_finding, "count"].tolist() == [60361]
    assert (counts["count"] == counts["paper"])[~no_finding].all()
    assert len(pd.read_parquet(project.folder / "data/02_intermediate/labels.parquet")) == 112_120


def test_labels_alone_of_nih_cxr_lt(project):
    folder = SHARED / "cxr_lt"
    if not folder.is_dir():
        pytest.skip("NIH-CXR-LT's files are not here")
    result = project.run("--pipeline=labels", f"--params=raw_dir={folder}")
    assert result.returncode == 0, result.stderr
    labels = pd.read_parquet(project.folder / "data/02_intermediate/labels.parquet")
    assert labels["split"].value_counts().to_dict() == {"test": 21_081, "validation": 12_533}
    files = [pd.read_csv(path) for path in sorted(folder.glob("*.csv.gz"))]
    plain = pd.concat(files).drop(columns=["id", "subj_id"]).sum()
    by_hand = plain.rename({"Pleural Thickening": "Pleural_Thickening"}).to_dict()
    counts = pd.read_csv(project.folder / "data/08_reporting/class_counts.csv")
    assert len(by_hand) == 20
    assert counts.set_index("finding")["count"].to_dict() == by_hand
    assert pd.read_csv(project.folder / "data/08_reporting/label_violations.csv").empty


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"]
)
def test_a_signal_ends_the_run_as_killed_with_a_checkpoint_and_the_next_goes_on(
    project, number, code
):
    parameters = f"raw_dir={SAMPLE},gan.batch_size=2,gan.checkpoint_every=7"
    process = subprocess.Popen(
        project.command("--pipeline=gan", f"--params={parameters},gan.max_steps=100000"),
        cwd=project.folder,
        env=project.environment(),
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests themselves run in the background, Ctrl-C would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    folder = project.folder / "data/06_models/gan/checkpoint"
    deadline = time.monotonic() + 120
    while not [*folder.glob("*.json")] and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    client = mlflow.MlflowClient(project.database)
    (experiment,) = client.search_experiments(filter_string="name = 'cxr_pipeline'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    assert "image_store_digest" in run.data.tags
    assert f"{number.name}: the step ends and a checkpoint is written" in errors
    found = find_checkpoint(folder)
    # At step 7 it had not come yet, and at 14 one would have been written anyway.
    assert found.step > 7
    goes_on = project.run("--pipeline=gan", f"--params={parameters},gan.max_steps={found.step}")
    assert goes_on.returncode == 0, goes_on.stderr
    assert f"Resumed at step {found.step} of {found.step}" in goes_on.stderr
    assert client.get_run(run.info.run_id).info.status == "FINISHED"


def test_a_failed_run_says_so_in_mlflow(project, raw_dir):
    for path in (raw_dir / "images").iterdir():
        path.write_bytes(b"")
    error_of(project.run("--pipeline=preprocessing", f"--params=raw_dir={raw_dir}"))
    client = mlflow.MlflowClient(project.database)
    (experiment,) = client.search_experiments(filter_string="name = 'cxr_pipeline'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"


def test_the_innermost_error_of_a_data_set_is_the_one_shown():
    wrapped = DatasetError("Failed while saving data to dataset")
    wrapped.__cause__ = ValueError("the remedy\nmore")
    assert root_message(wrapped) == "the remedy"


def test_what_kedro_asks_is_said_with_its_answers():
    asked = ValueError("'gann' not found. Did you mean one of these instead?\n    gan\n    gmvae")
    assert root_message(asked).endswith("Did you mean one of these instead? gan gmvae")
