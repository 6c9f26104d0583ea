import copy
import math

import pytest
from pydantic import BaseModel
from tests.parameters.configuration import BASE, changed, refusal

from cxr_pipeline.parameters import Parameters, check_parameters


def test_the_base_configuration_is_valid_and_the_paper_s():
    parameters = check_parameters(BASE)
    gan = parameters.gan
    assert (gan.dim_z, gan.batch_size, gan.learning_rate) == (100, 64, 2e-4)
    assert (gan.betas, gan.generator_steps, gan.sample_at) == ((0.5, 0.999), 3, (0, 400, -1))
    assert parameters.preprocessing.size == 128


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("gan.epochs", 0),
        ("gan.epochs", 1.5),
        ("gan.epochs", True),
        ("gan.batch_size", "64"),
        ("gan.learning_rate", math.nan),
        ("gan.learning_rate", math.inf),
        ("gan.learning_rate", -1e-4),
        ("gan.betas", [0.5, 1.0]),
        ("gan.betas", [0.5]),
        ("gan.precision", "half"),
        ("gan.resume", "maybe"),
        ("gan.max_steps", -1),
        ("gan.temperature", 0.0),
        ("gan.temperature", 2.5),
        ("gan.conditional", 1),
        ("vae.beta", 0.0),
        ("vae.beta", math.inf),
        ("vae.kl_warmup", -1),
        ("vae.scaling", "mean"),
        ("vae.sampler", "posterior"),
        ("vae.mixture_components", 0),
        ("vae.sample_at", [-2]),
        ("gmvae.reconstruction", "mae"),
        ("gmvae.image_size", 128),
        ("gmvae.weights", 5),
        ("gmvae.learning_rate", 1.0),
        ("gmvae.versions.v8.encoder", "resnet50"),
        ("gmvae.versions.v8.decoder", "3"),
        ("gmvae.versions.v8.decoder", 1),
        ("gmvae.versions.v8.components", 0),
        ("vae_beta_sweep.betas", []),
        ("labels.test", 1.0),
        ("labels.source", "mimic"),
        ("labels.splits", "official"),
        ("gan.selection.youngest", -1),
        ("gan.selection.oldest", 121),
        ("gan.selection.oldest", 40.5),
        ("gan.selection.one_image_a_patient", "yes"),
        ("preprocessing.size", 8),
        ("preprocessing.max_quarantined", 1.1),
        ("preprocessing.workers", 0),
        ("download.attempts", 0),
        ("download.timeout", 0.0),
        ("download.max_unpacked_gb", -1.0),
        ("download.label_file.url", "ftp://nih.gov/labels.csv"),
        ("download.label_file.name", "../labels.csv"),
        ("download.label_file.size", 0),
        ("download.label_file.sha256", "abc"),
        ("download.label_file.md5", "not hexadecimal, though as long"),
    ],
)
def test_a_value_out_of_range_or_of_another_type_is_refused_by_name(path, value):
    message = refusal(changed(path, value))
    assert path in message
    if value is not None and not isinstance(value, list):
        assert repr(value) in message


@pytest.mark.parametrize("value", [None, ""])
def test_no_raw_dir_says_how_to_name_it(value):
    with pytest.raises(ValueError, match=r"raw_dir is not set: set CXR14_DIR .* or give --params"):
        check_parameters(BASE | {"raw_dir": value})


def test_an_unknown_parameter_is_refused_with_the_likely_one():
    message = refusal(changed("gan.epoch", 3))
    assert "unknown parameter 'gan.epoch': did you mean 'gan.epochs'?" in message


def test_an_unknown_section_is_refused():
    assert "unknown parameter 'gun'" in refusal(BASE | {"gun": {}})


def test_a_missing_parameter_is_named():
    parameters = copy.deepcopy(BASE)
    del parameters["gan"]["dim_z"]
    assert "parameter 'gan.dim_z' is missing" in refusal(parameters)


def test_all_problems_are_listed_at_once():
    parameters = changed("gan.epochs", 0)
    parameters["preprocessing"]["size"] = 8
    message = refusal(parameters)
    assert "gan.epochs=0" in message
    assert "preprocessing.size=8" in message


def parts(annotation):
    """The models that a field's type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from parts(inner)


def test_every_parameter_is_described():
    described = []

    def undescribed(model, prefix=""):
        for name, field in model.model_fields.items():
            inner = list(parts(field.annotation))
            for part in inner:
                yield from undescribed(part, f"{prefix}{name}.")
            if not inner and not field.description:
                yield prefix + name
            described.append(prefix + name)

    assert list(undescribed(Parameters)) == []
    assert {"gmvae.versions.decoder", "download.archives.url", "vae.beta"} <= set(described)
