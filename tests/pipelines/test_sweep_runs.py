"""`kedro run --pipeline=vae_beta_sweep` and `gmvae_sweep`, twice each for real."""

import json
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
from tests.conftest import TEN_SPLIT, Project, read_picture

CHEAP = "max_steps=2,{0}.batch_size=2,{0}.precision=32-true,{0}.sample_at=[-1]"
SWEEPS = {
    "vae_beta_sweep": ("vae", f"{CHEAP},vae.dim_z=8,vae_beta_sweep.betas=1.0|0.002", 128),
    "gmvae_sweep": ("gmvae", f"{CHEAP},gmvae_sweep.versions=fs_v3|v4", 224),
}
MEMBERS = {"vae_beta_sweep": ["beta_1", "beta_0.002"], "gmvae_sweep": ["fs_v3", "v4"]}


@pytest.fixture(scope="module", params=SWEEPS)
def swept(request, tmp_path_factory, ten_images):
    """A project after the same sweep was run twice."""
    sweep = request.param
    model, settings, size = SWEEPS[sweep]
    project = Project(tmp_path_factory.mktemp("project"))
    parameters = f"raw_dir={ten_images},{TEN_SPLIT},{model}.{settings.format(model)}"
    first, models = project.run(f"--pipeline={sweep}", f"--params={parameters}"), {}
    assert first.returncode == 0, first.stderr
    folder = project.folder / "data/06_models" / sweep
    for path in folder.rglob("*.safetensors"):
        models[path] = path.read_bytes()
    second = project.run(f"--pipeline={sweep}", f"--params={parameters}")
    assert second.returncode == 0, second.stderr
    return SimpleNamespace(
        name=sweep,
        model=model,
        size=size,
        members=MEMBERS[sweep],
        first=first,
        second=second,
        models=models,
        folder=folder,
        reports=project.folder / "data/08_reporting" / sweep,
        client=mlflow.MlflowClient(project.database),
    )


def runs(swept, kind):
    (experiment,) = swept.client.search_experiments(filter_string="name = 'cxr_pipeline'")
    found = swept.client.search_runs([experiment.experiment_id], order_by=["start_time"])
    return [run for run in found if ("mlflow.parentRunId" in run.data.tags) == (kind == "member")]


def test_each_member_keeps_its_model_and_samples(swept):
    for name in swept.members:
        config = json.loads((swept.folder / name / "config.json").read_text())
        assert config["model"] == swept.model
        assert config["steps"] == 2
        samples = read_picture(swept.reports / name / "samples.png")
        assert samples.shape == (4 * (swept.size + 2) - 2, 8 * (swept.size + 2) - 2)
        assert (swept.reports / name / "progress/step_000002.png").is_file()


def test_members_differ_in_what_is_swept_alone(swept):
    one, two = (
        json.loads((swept.folder / name / "config.json").read_text())["parameters"]
        for name in swept.members
    )
    different = {key for key in one if one[key] != two[key]}
    assert different == ({"beta"} if swept.model == "vae" else {"version", "row"})


def test_the_summary_has_a_row_a_member(swept):
    summary = pd.read_csv(swept.reports / "summary.csv")
    assert summary["member"].tolist() == swept.members
    assert (summary["steps"] == 2).all()
    history = pd.read_csv(swept.reports / "history.csv")
    for row in summary.to_dict("records"):
        own = history[(history["member"] == row["member"]) & (history["metric"] == "loss/total")]
        assert own["step"].tolist() == [1, 2]
        assert row["loss/total"] == own["value"].iloc[-1]
        assert row["validation/kl"] == pytest.approx(row["validation/kl"])


def test_the_losses_are_drawn_and_a_row_of_samples_for_each_member(swept):
    assert (swept.reports / "losses.png").stat().st_size > 0
    rows = read_picture(swept.reports / "samples.png")
    assert rows.shape == (2 * (swept.size + 2), 8 * (swept.size + 2) - 2)
    for number, name in enumerate(swept.members):
        own = read_picture(swept.reports / name / "samples.png")
        top = number * (swept.size + 2)
        assert (rows[top : top + swept.size] == own[: swept.size]).all()


def test_each_member_is_a_run_nested_in_the_sweep_s(swept):
    sweeps, members = runs(swept, "sweep"), runs(swept, "member")
    assert len(sweeps) == 2
    parents = [run.info.run_id for run in sweeps for _ in swept.members]
    assert [run.data.tags["mlflow.parentRunId"] for run in members] == parents
    assert {run.info.status for run in [*sweeps, *members]} == {"FINISHED"}
    names = [f"{swept.model} {name}" for name in swept.members]
    assert [run.info.run_name for run in members] == 2 * names


def test_nested_runs_keep_parameters_metrics_and_samples(swept):
    summary = pd.read_csv(swept.reports / "summary.csv").set_index("member")
    # Also where the member was reused: runs are compared by their metrics.
    for run, name in zip(runs(swept, "member"), 2 * swept.members, strict=True):
        if swept.model == "vae":
            assert name == f"beta_{float(run.data.params['beta']):g}"
        else:
            assert run.data.params["version"] == name
            assert run.data.params["row.components"] == "50"
        assert run.data.params["max_steps"] == "2"
        for metric in ("loss/total", "loss/kl", "validation/loss"):
            assert run.data.metrics[metric] == pytest.approx(summary.loc[name, metric]), metric
        files = {item.path for item in swept.client.list_artifacts(run.info.run_id, "samples")}
        assert files == {"samples/samples.png"}


def test_a_second_time_no_member_is_trained(swept):
    assert swept.first.stderr.count("Resumed at step") == 0
    assert swept.second.stderr.count("Resumed at step 2 of 2") == 2
    assert swept.models
    for path, content in swept.models.items():
        assert path.read_bytes() == content, path
    if swept.model == "gmvae":
        # Both versions look through the same encoder.
        assert swept.first.stderr.count("Computing the features") == 1
        assert "Computing the features" not in swept.second.stderr


def test_nothing_is_warned_of(swept):
    for run in (swept.first, swept.second):
        output = run.stdout + run.stderr
        assert [line for line in output.splitlines() if "warn" in line.lower()] == []
