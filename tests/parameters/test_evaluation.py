import pytest
from tests.parameters.configuration import changed, refusal

from cxr_pipeline.parameters import check_parameters


@pytest.mark.parametrize("section", ["evaluation", "utility"])
def test_only_models_that_there_are_can_be_evaluated(section):
    assert refusal(changed(f"{section}.models", "gan|gan2")).startswith(
        f"{section}.models: unknown model gan2: choose from gan, vae, gmvae"
    )
    asked = check_parameters(changed(f"{section}.models", "vae|gan"))
    assert getattr(asked, section).models == ("vae", "gan")


def test_an_extractor_from_a_file_needs_the_file():
    said = refusal(changed("evaluation.extractors", "random|inception"))
    assert "inception needs its weights: set weights=FILE" in said


def test_two_extractors_from_files_are_one_too_many():
    said = refusal(changed("evaluation.extractors", "inception|torchxrayvision"))
    assert "choose one of them" in said


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("evaluation.weights_sha256", "abc"),
        ("evaluation.max_memorised", 1.0),
        ("evaluation.max_memorised", -0.1),
        ("evaluation.splits", "train"),
        ("evaluation.splits", []),
        ("evaluation.extractors", "imagenet"),
        ("evaluation.kid_subset", 1),
        ("evaluation.replicates", 19),
        ("utility.shares", "0.5|0"),
        ("utility.shares", []),
        ("utility.seeds", 0),
        ("classifier.network", "resnet50"),
        ("classifier.image_size", 31),
        ("classifier.samples", 64),
    ],
)
def test_what_is_out_of_range_is_refused_by_its_name(path, value):
    assert path in refusal(changed(path, value))


def test_shares_are_given_as_the_command_line_gives_lists():
    assert check_parameters(changed("utility.shares", "0.5|1")).utility.shares == (0.5, 1.0)
    assert check_parameters(changed("utility.shares", 0.5)).utility.shares == (0.5,)
