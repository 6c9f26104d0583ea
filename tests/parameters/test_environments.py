"""The configuration as Kedro merges it: `conf/cxr14` lies softly over `conf/base`."""

import pytest
from kedro.config import OmegaConfigLoader
from tests.parameters.configuration import PROJECT

from cxr_pipeline.parameters import check_parameters
from cxr_pipeline.settings import CONFIG_LOADER_ARGS

CLASSIFIER = (
    "network", "image_size", "epochs", "batch_size", "learning_rate", "log_every",
    "checkpoint_every",
)  # fmt: skip


@pytest.fixture
def load(monkeypatch):
    monkeypatch.setenv("CXR14_DIR", "/data/cxr14")

    def load(environment, **changes):
        loader = OmegaConfigLoader(
            str(PROJECT / "conf"), env=environment, runtime_params=changes, **CONFIG_LOADER_ARGS
        )
        return loader["parameters"]

    return load


def test_the_base_environment_reads_the_sample_data(load):
    assert check_parameters(load("base")).raw_dir == str(PROJECT / "data/01_raw/sample")


def test_cxr14_is_the_paper_s(load):
    parameters = check_parameters(load("cxr14"))
    assert parameters.raw_dir == "/data/cxr14"
    assert parameters.gan.learning_rate == 2e-4
    assert (parameters.vae.learning_rate, parameters.gmvae.learning_rate) == (1e-4, 1e-4)
    assert parameters.gmvae.weights == "imagenet"
    for model in (parameters.gan, parameters.vae, parameters.gmvae):
        assert (model.epochs, model.batch_size) == (5, 64)
        # The GMVAE's FS versions learn findings: from images without any there would be none.
        alone = () if model is parameters.gmvae else ("No Finding",)
        assert model.selection.findings == alone
        assert (model.selection.views, model.selection.youngest) == ((), None)


def changed_paths(before, after, prefix=""):
    for key in before | after:
        if isinstance(before.get(key), dict) and isinstance(after.get(key), dict):
            yield from changed_paths(before[key], after[key], f"{prefix}{key}.")
        elif before.get(key) != after.get(key):
            yield prefix + key


def test_cxr14_changes_what_it_names_and_nothing_else(load):
    of_each = {"epochs", "log_every", "checkpoint_every", "samples"}
    assert set(changed_paths(load("base"), load("cxr14"))) == {
        "raw_dir",
        *(f"{model}.{name}" for model in ("gan", "vae", "gmvae") for name in of_each),
        "gan.selection.findings",
        "vae.selection.findings",
        "vae.learning_rate",
        "gmvae.learning_rate",
        "gmvae.weights",
        *(f"classifier.{name}" for name in CLASSIFIER),
        *(f"evaluation.{name}" for name in ("splits", "images", "samples", "kid_subset")),
        "evaluation.max_memorised",
        "utility.epochs",
    }


def test_a_parameter_of_the_command_line_changes_itself_alone(load):
    merged = load("cxr14", vae={"beta": 0.1})
    assert set(changed_paths(load("cxr14"), merged)) == {"vae.beta"}
    assert check_parameters(merged).vae.beta == 0.1


def test_without_cxr14_dir_it_is_asked_for(load, monkeypatch):
    monkeypatch.delenv("CXR14_DIR")
    with pytest.raises(ValueError, match=r"raw_dir is not set: set CXR14_DIR"):
        check_parameters(load("cxr14"))
