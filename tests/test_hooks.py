import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from kedro.io import DataCatalog
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig
from tests.training.tasks import save_checkpoint

from cxr_pipeline import tracking
from cxr_pipeline.evaluation.memorisation.gate import GateClosedError
from cxr_pipeline.hooks import (
    PreflightHooks,
    check_raw_dir,
    encoders_of,
    git_commit,
    run_name,
    trainings_of,
)
from cxr_pipeline.parameters import check_parameters, source_digest
from cxr_pipeline.pipeline_registry import register_pipelines
from cxr_pipeline.tracking import run_command
from cxr_pipeline.tracking.sending import sender
from cxr_pipeline.training.checkpoint import find_checkpoint
from cxr_pipeline.training.run import own_identity

BASE = Path(__file__).resolve().parents[1] / "conf/base"
PIPELINES = register_pipelines()

RUN = {
    "pipeline_names": ["gan"],
    "env": "cxr14",
    "from_nodes": ["gan.train"],
    "runtime_params": {"raw_dir": "/data/nih1000", "gan": {"epochs": 40, "seed": 1}},
}


def test_the_command_can_be_typed_again():
    assert run_command(RUN) == (
        "kedro run --pipelines=gan --env=cxr14 --from-nodes=gan.train "
        "--params=raw_dir=/data/nih1000,gan.epochs=40,gan.seed=1"
    )
    assert run_command({"pipeline_names": None, "runtime_params": None}) == "kedro run"


def test_what_the_shell_would_take_apart_is_quoted():
    spaced = {"runtime_params": {"raw_dir": "/data/My Folder"}, "load_versions": {"images": "a1"}}
    assert run_command(spaced) == (
        "kedro run --load-versions=images:a1 '--params=raw_dir=/data/My Folder'"
    )


def test_a_run_s_name_says_pipeline_data_and_what_was_set():
    name = run_name(RUN, PIPELINES["gan"], "/data/nih1000")
    assert re.fullmatch(r"gan on nih1000, epochs=40, seed=1, \d\d-\d\d \d\d:\d\d", name)
    everything = run_name({}, PIPELINES["__default__"], "data/01_raw/sample")
    assert everything.startswith("everything on sample, ")


def test_of_many_settings_the_name_has_the_first():
    own = {"epochs": 1, "seed": 2, "samples": 3, "dim_z": 4, "log_every": 5, "batch_size": 6}
    own |= {"temperature": 7, "sample_seed": 8}
    run = {"pipeline_names": ["gan"], "runtime_params": {"gan": own}}
    name = run_name(run, PIPELINES["gan"], "/data/nih1000")
    given = "epochs=1, seed=2, samples=3, dim_z=4, log_every=5, batch_size=6, 2 more, "
    assert name.startswith(f"gan on nih1000, {given}")


def test_only_a_run_that_reads_the_data_is_named_by_it():
    name = run_name({"pipeline_names": ["reporting"]}, PIPELINES["reporting"], "/data/nih1000")
    assert re.fullmatch(r"reporting, \d\d-\d\d \d\d:\d\d", name)


def test_one_model_s_run_of_several_is_named_by_what_was_set_for_it():
    given = {"labels": {"seed": 3}, "gan": {"epochs": 4}, "vae": {"epochs": 5}}
    run = {"runtime_params": {"raw_dir": "/data/nih1000", **given}}
    name = run_name(run, PIPELINES["__default__"], "/data/nih1000", "vae")
    assert name.startswith("vae on nih1000, labels.seed=3, epochs=5, ")


def test_the_commit_says_when_files_differ_from_it(tmp_path: Path):
    assert git_commit(tmp_path) == "unknown"

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True)

    git("init", "--quiet")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "--quiet", "--message=first")
    commit = git_commit(tmp_path)
    assert len(commit) == 40
    (tmp_path / "file").write_text("2")
    assert git_commit(tmp_path) == f"{commit}+changes"


RAW_DIR = "data/01_raw/sample"


def parameters_with(**changes):
    """The configuration, with a section's parameters changed."""
    sections = {}
    for path in BASE.glob("parameters*.yml"):
        sections |= yaml.safe_load(path.read_text())
    sections["raw_dir"] = RAW_DIR
    for section, own in changes.items():
        sections[section] |= own
    return check_parameters(sections)


@pytest.fixture
def catalog(tmp_path, monkeypatch):
    """The project's catalog, its folders in a place of their own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / RAW_DIR).mkdir(parents=True)
    entries = {}
    for path in BASE.glob("catalog*.yml"):
        entries |= yaml.safe_load(path.read_text())
    return DataCatalog.from_config(entries)


def nodes(pipeline):
    return {node.name for node in PIPELINES[pipeline].nodes}


def folder(path):
    return Path(f"data/06_models/{path}/checkpoint")


TRAINED = {
    "gan": [("gan", folder("gan"))],
    "vae": [("vae", folder("vae"))],
    "gmvae": [("gmvae", folder("gmvae"))],
    "__default__": [(name, folder(name)) for name in ("gan", "vae", "gmvae")],
    "vae_beta_sweep": [
        ("vae", folder(f"vae_beta_sweep/beta_{beta}")) for beta in ("1", "0.1", "0.002")
    ],
    "gmvae_sweep": [
        ("gmvae", folder(f"gmvae_sweep/{version}"))
        for version in ("fs_v1", "fs_v2", "fs_v3", "v3", "v4", "v5", "v6", "v7", "v8")
    ],
}


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_what_a_pipeline_trains_is_known_beforehand_and_no_folder_is_made(pipeline, catalog):
    found = [
        (model, checkpoints)
        for model, _, checkpoints in trainings_of(nodes(pipeline), parameters_with(), catalog)
    ]
    assert found == TRAINED.get(pipeline, [])
    assert list(Path("data").iterdir()) == [Path(RAW_DIR).parent]


def test_each_training_has_its_own_parameters(catalog):
    parameters = parameters_with(gmvae_sweep={"versions": ["v6", "fs_v1"]}, gan={"seed": 7})
    betas = trainings_of(nodes("vae_beta_sweep"), parameters, catalog)
    assert [own["beta"] for _, own, _ in betas] == [1.0, 0.1, 0.002]
    versions = trainings_of(nodes("gmvae_sweep"), parameters, catalog)
    assert [own["version"] for _, own, _ in versions] == ["v6", "fs_v1"]
    ((_, own, _),) = trainings_of(nodes("gan"), parameters, catalog)
    assert own["seed"] == 7


def test_the_encoders_that_are_needed_are_known_beforehand():
    assert encoders_of(nodes("gan"), parameters_with()) == []
    assert encoders_of(nodes("gmvae"), parameters_with()) == ["vgg16"]
    assert encoders_of(nodes("__default__"), parameters_with(gmvae={"version": "v6"})) == [
        "densenet121"
    ]
    assert encoders_of(nodes("gmvae_sweep"), parameters_with()) == ["densenet121", "vgg16"]
    # The features are there: only an encoder that learns needs its first weights.
    assert encoders_of({"gmvae.train"}, parameters_with()) == []
    assert encoders_of({"gmvae.train"}, parameters_with(gmvae={"fine_tune": True})) == ["vgg16"]


def preflight(pipeline, catalog, **changes):
    hooks = PreflightHooks()
    hooks.parameters = parameters_with(**changes)
    hooks.context = SimpleNamespace(mlflow=KedroMlflowConfig())
    hooks.before_pipeline_run({}, PIPELINES[pipeline], catalog)


EVALUATING = ("evaluation", "memorisation", "utility")


@pytest.mark.parametrize("pipeline", [name for name in PIPELINES if name not in EVALUATING])
def test_the_configuration_as_it_is_passes(pipeline, catalog):
    preflight(pipeline, catalog)


@pytest.mark.parametrize("pipeline", EVALUATING)
def test_an_evaluation_needs_something_to_evaluate(pipeline, catalog, tmp_path):
    with pytest.raises(ValueError, match="there is nothing to evaluate"):
        preflight(pipeline, catalog)
    preflight(pipeline, catalog, evaluation={"synthetic_dir": str(tmp_path)})
    with pytest.raises(ValueError, match="no trained vae"):
        preflight(pipeline, catalog, evaluation={"models": ["vae"]})


def test_a_classifier_of_other_parameters_is_refused(catalog):
    folder = Path(catalog["classifier.checkpoints"]._filepath)
    own = parameters_with().classifier.model_dump(mode="json")
    identity = {"model": "classifier", "precision": "32-true", **own_identity(own)}
    save_checkpoint(folder, identity=identity)
    with pytest.raises(ValueError, match=r"is of another run .*learning_rate was"):
        preflight("classifier", catalog, classifier={"learning_rate": 0.5})


@pytest.mark.parametrize(
    ("pipeline", "changes", "message"),
    [
        ("gan", {"gan": {"resume": True}}, r"06_models/gan/checkpoint' holds no checkpoint"),
        ("__default__", {"gmvae": {"resume": True}}, "06_models/gmvae/checkpoint' holds no"),
        ("vae_beta_sweep", {"vae": {"resume": True}}, "beta_1/checkpoint' holds no checkpoint"),
        ("gmvae_sweep", {"gmvae": {"resume": True}}, "fs_v1/checkpoint' holds no checkpoint"),
        ("gmvae", {"gmvae": {"weights": "absent.pth"}}, "'absent.pth' is no file"),
        ("gmvae_sweep", {"gmvae": {"weights": "absent.pth"}}, "'absent.pth' is no file"),
        ("vae", {"vae": {"precision": "16-mixed", "accelerator": "cpu"}}, "needs a CUDA GPU"),
        ("gan", {"preprocessing": {"size": 64}}, "the gan draws 128 px images"),
        ("vae_beta_sweep", {"preprocessing": {"size": 64}}, "the vae draws 128 px images"),
    ],
)
def test_what_cannot_be_trained_is_refused_where_it_would_be(pipeline, changes, message, catalog):
    with pytest.raises(ValueError, match=message):
        preflight(pipeline, catalog, **changes)
    for other in ("labels", "preprocessing", "reporting"):
        preflight(other, catalog, **changes)


def test_images_that_are_there_may_be_of_any_size_as_far_as_is_known(catalog):
    hooks = PreflightHooks()
    hooks.parameters = parameters_with(preprocessing={"size": 64})
    hooks.context = SimpleNamespace(mlflow=KedroMlflowConfig())
    hooks.before_pipeline_run({}, PIPELINES["gan"].from_nodes("gan.train"), catalog)
    # The GMVAE has an image size of its own.
    preflight("gmvae", catalog, preprocessing={"size": 64})


@pytest.fixture
def draw(catalog):
    """Check a run that draws from the GMVAE that is there, with parameters given for it."""

    def draw(**asked):
        hooks = PreflightHooks()
        hooks.parameters = parameters_with(gmvae=asked)
        hooks.context = SimpleNamespace(mlflow=KedroMlflowConfig())
        run = {"runtime_params": {"gmvae": asked}}
        part = PIPELINES["gmvae"].from_nodes("gmvae.draw_samples")
        hooks.before_pipeline_run(run, part, catalog)

    return draw


def test_data_that_are_not_there_are_missed_before_anything_runs(catalog):
    hooks = PreflightHooks()
    hooks.parameters = parameters_with()
    Path(RAW_DIR).rmdir()
    with pytest.raises(ValueError, match=f"raw_dir '{RAW_DIR}' does not exist: give a folder"):
        hooks.before_pipeline_run({}, PIPELINES["labels"], catalog)
    hooks.before_pipeline_run({}, PIPELINES["reporting"], catalog)


def test_a_model_that_is_not_there_cannot_be_drawn_from(draw):
    with pytest.raises(ValueError, match=r"06_models/gmvae' holds no trained model .* train it"):
        draw()


def test_what_is_drawn_goes_by_no_other_name_than_the_model_s(draw):
    # As by a command with gmvae.version=v5, which the next one need not repeat.
    trained = parameters_with(gmvae={"version": "v5"}).gmvae.model_dump(mode="json")
    path = Path("data/06_models/gmvae/config.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"parameters": trained}))
    with pytest.raises(ValueError, match=r"\(weights\.safetensors is not there\): train it"):
        draw()
    path.with_name("weights.safetensors").touch()
    draw()
    draw(version="v5", samples=7, sample_seed=3, temperature=0.5, log_every=3, accelerator="cpu")
    with pytest.raises(ValueError, match=r"gmvae\.version=v3, but .* with v5: leave it out"):
        draw(version="v3")
    with pytest.raises(ValueError, match=r"gmvae\.beta=0\.5, but .* with 1\.0: leave it out"):
        draw(beta=0.5)


@pytest.mark.parametrize("below", ["", "images"])
def test_a_run_does_not_replace_the_images_it_reads(below, catalog):
    raw_dir = Path("data/07_model_output/gan") / below
    with pytest.raises(ValueError, match=r"raw_dir='.*' is where this run writes .* copy it"):
        check_raw_dir(raw_dir, PIPELINES["gan"], catalog)
    check_raw_dir(raw_dir, PIPELINES["vae"], catalog)
    check_raw_dir(raw_dir, PIPELINES["preprocessing"], catalog)


@pytest.fixture
def interrupted(catalog):
    """A GAN's training that was killed after three steps, and how it goes on; the run it is of."""
    gan = {"accelerator": "cpu", "precision": "32-true"}
    hooks = PreflightHooks()
    hooks.context = SimpleNamespace(mlflow=KedroMlflowConfig())
    hooks.parameters = parameters_with(gan=gan)
    own = hooks.parameters.gan.model_dump(mode="json")
    identity = {"model": "gan", "precision": "32-true", **own_identity(own)}
    tracking.note_source(source_digest(hooks.parameters))
    notes = {"mlflow_run": "a run", **sender.notes}
    save_checkpoint(folder("gan"), identity=identity, notes=notes)

    def run_to_continue(**changes):
        hooks.parameters = parameters_with(gan=gan, **changes)
        hooks.before_pipeline_run({}, PIPELINES["gan"], catalog)
        return hooks.context.mlflow.tracking.run.id

    yield run_to_continue
    sender.begin()


@pytest.mark.parametrize(
    "changes", [{}, {"preprocessing": {"workers": 1, "verify": True, "sheet": "pairs"}}]
)
def test_an_interrupted_training_goes_on_in_its_run(interrupted, changes):
    assert interrupted(**changes) == "a run"


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"seed": 5}},
        {"preprocessing": {"equalise": "clahe"}},
        {"preprocessing": {"follow_links": True}},
    ],
)
def test_of_other_images_it_is_another_run_though_they_lie_in_the_same_folder(interrupted, changes):
    assert interrupted(**changes) is None


def test_a_source_is_its_folder_wherever_it_is_looked_at_from_not_the_folder_s_name(tmp_path):
    parameters = parameters_with()

    def digest(raw_dir):
        return source_digest(parameters.model_copy(update={"raw_dir": str(raw_dir)}))

    raw_dir = Path(parameters.raw_dir)
    assert digest(raw_dir) == digest(raw_dir.resolve())
    assert digest(raw_dir) != digest(tmp_path / raw_dir.name)


# -- what is finished ----------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path):
    """Hooks of a run that has trained a GAN and the classifier, and its checkpoints."""
    hooks = PreflightHooks()
    folders = {name: tmp_path / name for name in ("gan", "classifier")}
    for path in folders.values():
        save_checkpoint(path)
    hooks.trainings = [(name, {}, path) for name, path in folders.items()]
    return hooks, folders


def finished(folders):
    return {name for name, path in folders.items() if find_checkpoint(path).finished}


def test_a_run_that_failed_leaves_its_trainings_to_be_gone_on_with(trained):
    hooks, folders = trained
    hooks.on_pipeline_error(ValueError("no room"))
    assert finished(folders) == set()


def test_a_closed_gate_leaves_finished_trainings(trained):
    hooks, folders = trained
    hooks.on_pipeline_error(GateClosedError("too many copies"))
    assert finished(folders) == {"gan", "classifier"}


def test_the_classifier_is_finished_once_it_is_kept(trained):
    hooks, folders = trained
    hooks.after_dataset_saved("classifier.weights")
    assert finished(folders) == set()
    hooks.after_dataset_saved("classifier.history")
    assert finished(folders) == {"classifier"}
    hooks.on_pipeline_error(ValueError("no room"))
    assert finished(folders) == {"classifier"}
