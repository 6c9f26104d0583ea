"""Every pipeline fits the catalog, the parameters and the layers that Kedro-Viz draws."""

from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog

from cxr_pipeline.datasets import FolderDataset, ProgressDataset
from cxr_pipeline.pipeline_registry import register_pipelines
from cxr_pipeline.settings import CONFIG_LOADER_ARGS

PROJECT = Path(__file__).resolve().parents[1]
PIPELINES = register_pipelines()
LAYERS = ("raw", "intermediate", "model_input", "models", "model_output", "reporting")


@pytest.fixture(scope="module")
def configuration():
    return OmegaConfigLoader(str(PROJECT / "conf"), env="base", **CONFIG_LOADER_ARGS)


@pytest.fixture(scope="module")
def catalog(configuration):
    return DataCatalog.from_config(configuration["catalog"])


def datasets(names):
    """Those of the names that are no parameters."""
    return {name for name in names if not name.startswith(("params:", "parameters"))}


every_pipeline = pytest.mark.parametrize("name", PIPELINES)


@every_pipeline
def test_every_parameter_that_a_pipeline_takes_is_configured(configuration, name):
    for parameter in PIPELINES[name].inputs() - datasets(PIPELINES[name].inputs()):
        value = configuration["parameters"]
        for key in parameter.removeprefix("params:").split("."):
            assert key in value, parameter
            value = value[key]


@every_pipeline
def test_what_a_pipeline_takes_and_does_not_make_is_a_folder(catalog, name):
    # Anything else would have to be there before, or is the wrong name for what is made.
    free = datasets(PIPELINES[name].inputs())
    folders = (FolderDataset, ProgressDataset)
    assert {dataset for dataset in free if not isinstance(catalog[dataset], folders)} == set()


@every_pipeline
def test_everything_that_a_pipeline_names_is_in_the_catalog(catalog, name):
    assert {
        dataset for dataset in datasets(PIPELINES[name].datasets()) if dataset not in catalog
    } == set()


@every_pipeline
def test_no_two_data_sets_of_a_pipeline_are_one_file(catalog, name):
    made = sorted(PIPELINES[name].all_outputs())
    paths = [str(getattr(catalog[dataset], "_filepath", dataset)) for dataset in made]
    assert len(set(paths)) == len(paths)


def test_a_node_s_name_means_one_function():
    functions = {}
    for pipeline in PIPELINES.values():
        names = [node.name for node in pipeline.nodes]
        assert len(set(names)) == len(names)
        for node in pipeline.nodes:
            assert functions.setdefault(node.name, node.func) is node.func, node.name


def layer_of(catalog, name):
    return catalog[name].metadata["kedro-viz"]["layer"]


def test_layers_make_no_circle(catalog):
    # Else Kedro-Viz, which shows all pipelines together, draws no layers at all.
    for node in {node for pipeline in PIPELINES.values() for node in pipeline.nodes}:
        for source in datasets(node.inputs):
            for made in node.outputs:
                before, after = (layer_of(catalog, dataset) for dataset in (source, made))
                assert LAYERS.index(before) <= LAYERS.index(after), f"{source} -> {made}"


def test_the_contract_s_pipelines_are_there():
    assert {
        *("labels", "preprocessing", "gan", "vae", "gmvae", "reporting", "__default__"),
        *("vae_beta_sweep", "gmvae_sweep"),
        *("evaluation", "classifier", "memorisation", "utility"),
    } <= set(PIPELINES)


@pytest.mark.parametrize("name", ["evaluation", "memorisation", "__default__"])
def test_nothing_is_exported_before_all_is_reported(name):
    before = PIPELINES[name].to_nodes("release.export").nodes
    assert {node.name for node in PIPELINES[name].nodes} - {node.name for node in before} <= {
        "labels.draw_class_counts",
        "labels.draw_cooccurrence",
        "classifier.draw_losses",
        "reporting.write_cards",
        *(f"{model}.draw_losses" for model in ("gan", "vae", "gmvae")),
    }


def test_everything_is_evaluated_once_its_models_are_trained():
    before = {
        node.name for node in PIPELINES["__default__"].to_nodes("evaluation.gather_sets").nodes
    }
    assert {"gan.draw_samples", "vae.draw_samples", "gmvae.draw_samples"} <= before
    before = {
        node.name for node in PIPELINES["__default__"].to_nodes("utility.train_each_arm").nodes
    }
    assert {"gan.draw_samples", "vae.draw_samples", "gmvae.draw_samples"} <= before


@pytest.mark.parametrize("name", ["gan", "vae", "gmvae", "vae_beta_sweep", "gmvae_sweep"])
def test_the_report_is_written_when_all_that_it_shows_is_made(name):
    shown = {"config", "history", "samples", "reconstructions", "samplers", "summary", "latents"}
    nodes = PIPELINES[name].nodes
    showing = {node for node in nodes if {made.split(".")[-1] for made in node.outputs} & shown}
    assert len(showing) >= 1
    assert showing <= set(PIPELINES[name].to_nodes("reporting.write_report").nodes)
