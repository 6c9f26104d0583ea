import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parameters.configuration import BASE, changed, refusal
from tests.table_4 import TABLE_4

from cxr_pipeline.data.findings import CLASSES
from cxr_pipeline.parameters import check_parameters


def conditional_gan(asked):
    parameters = changed("gan.conditional", True)
    parameters["gan"]["sample_findings"] = asked
    return parameters


def versions(name, version):
    """The base configuration with one more version of the GMVAE."""
    return changed("gmvae.versions", BASE["gmvae"]["versions"] | {name: version})


def test_the_vae_is_the_paper_s_but_for_what_is_said_to_be_beyond_it():
    vae = check_parameters(BASE).vae
    assert (vae.dim_z, vae.batch_size, vae.beta, vae.scaling) == (1024, 64, 1.0, "elbo")
    assert vae.sample_at == (0, 100, 250, -1)


@pytest.mark.parametrize("name", TABLE_4)
def test_each_version_is_its_row_of_table_4(name):
    parameters = check_parameters(changed("gmvae.version", name))
    row = parameters.gmvae.row.model_dump()
    assert row.pop("conditional") == (TABLE_4[name]["findings"] > 0)
    assert row | {"findings": TABLE_4[name]["findings"]} == TABLE_4[name]


def test_the_versions_are_table_4_s_nine():
    assert set(check_parameters(BASE).gmvae.versions) == set(TABLE_4)


def test_what_is_recorded_of_a_gmvae_is_its_own_row_alone():
    recorded = check_parameters(changed("gmvae.version", "v5")).gmvae.model_dump(mode="json")
    assert recorded["row"]["decoder"] == "2"
    assert "versions" not in recorded


def test_a_version_of_one_s_own_can_be_added():
    own = BASE["gmvae"]["versions"]["v8"] | {"components": 7}
    parameters = versions("mine_2", own)
    parameters["gmvae"]["version"] = "mine_2"
    assert check_parameters(parameters).gmvae.row.components == 7


def test_an_unknown_version_is_refused_with_those_there_are():
    message = refusal(changed("gmvae.version", "v9"))
    assert "gmvae" in message
    assert f"unknown version=v9: choose from {', '.join(TABLE_4)}" in message


@pytest.mark.parametrize("name", ["V9", "v9/..", "v 9", ""])
def test_a_version_that_could_not_name_a_folder_is_refused(name):
    message = refusal(versions(name, BASE["gmvae"]["versions"]["v8"]))
    assert f"version {name!r}: use small letters, digits and _ alone" in message


def test_a_part_that_a_version_lacks_or_has_too_much_is_named():
    row = dict(BASE["gmvae"]["versions"]["v8"])
    assert "unknown parameter 'gmvae.versions.v8.prior'" in refusal(
        versions("v8", row | {"prior": 1})
    )
    del row["transition"]
    assert "parameter 'gmvae.versions.v8.transition' is missing" in refusal(versions("v8", row))


@pytest.mark.parametrize(
    ("path", "value", "there_are"),
    [
        ("gmvae.versions.v4.encoder", "resnet50", "'vgg16' or 'densenet121'"),
        ("gmvae.versions.v4.decoder", "deep", "'linear', '1' or '2'"),
        ("gmvae.versions.v4.decoder", 1, "'linear', '1' or '2'"),
        ("gmvae.reconstruction", "mae", "'mse' or 'bce'"),
        ("vae.sampler", "posterior", "'prior' or 'mixture'"),
        ("vae.scaling", "sum", "'elbo' or 'authors'"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(path, value, there_are):
    assert f"parameter {path}={value!r}: should be {there_are}" in refusal(changed(path, value))


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ("Mass|Edema", ("Mass", "Edema")),
        ("mass| pleural thickening |Mass", ("Mass", "Pleural_Thickening")),
        (["No Finding"], ("No Finding",)),
        ("training", ("training",)),
        ("flat", ("flat",)),
        ("", ()),
        ([], ()),
    ],
)
def test_a_conditional_model_is_asked_for_findings(asked, taken):
    assert check_parameters(conditional_gan(asked)).gan.sample_findings == taken
    parameters = changed("gmvae.version", "fs_v1")
    parameters["gmvae"]["sample_findings"] = asked
    assert check_parameters(parameters).gmvae.sample_findings == taken


@pytest.mark.parametrize("asked", ["Mass|flat", "training|flat", "No Finding|Mass"])
def test_what_goes_with_no_other_is_asked_for_alone(asked):
    message = refusal(conditional_gan(asked))
    assert f"sample_findings={asked}: training, flat and No Finding go with no other" in message


def test_an_unknown_finding_to_ask_for_is_refused_with_those_there_are():
    message = refusal(conditional_gan("Mass|Cardiomegalie"))
    assert "gan.sample_findings" in message
    assert f"unknown finding 'Cardiomegalie': choose from {', '.join(CLASSES)}" in message


@pytest.mark.parametrize(
    ("model", "remedy"), [("gan", "conditional=true"), ("gmvae", "a version fs_...")]
)
@pytest.mark.parametrize("asked", ["Mass|Edema", "flat", "training"])
def test_a_model_trained_without_findings_is_asked_for_none(model, remedy, asked):
    message = refusal(changed(f"{model}.sample_findings", asked))
    assert f"parameter {model}: sample_findings={asked} cannot be asked of" in message
    assert f"set {remedy}, or sample_findings=[]" in message


def test_the_vae_cannot_be_asked_at_all():
    assert "unknown parameter 'vae.sample_findings'" in refusal(
        changed("vae.sample_findings", "Mass")
    )


def test_the_sweep_over_betas_is_fig_5_s():
    assert check_parameters(BASE).vae_beta_sweep.betas == (1.0, 0.1, 0.002)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=5))
def test_betas_are_taken_as_a_list_or_as_typed(betas):
    for value in (betas, "|".join(map(str, betas))):
        parameters = check_parameters(changed("vae_beta_sweep.betas", value))
        assert parameters.vae_beta_sweep.betas == tuple(betas)


@pytest.mark.parametrize("betas", [[0.0], [-1.0], "1|0", "1|inf", "1|much", "", [True]])
def test_betas_that_are_none_are_refused(betas):
    assert "vae_beta_sweep.betas" in refusal(changed("vae_beta_sweep.betas", betas))


@pytest.mark.parametrize("value", ["v3|fs_v1", "v3 | fs_v1 | v3", ["v3", "fs_v1"]])
def test_versions_to_sweep_over_are_taken_as_a_list_or_as_typed(value):
    parameters = check_parameters(changed("gmvae_sweep.versions", value))
    assert parameters.gmvae_sweep.versions == ("v3", "fs_v1")


def test_a_sweep_over_versions_that_there_are_not_is_refused():
    message = refusal(changed("gmvae_sweep.versions", "v3|v9|v10"))
    assert "gmvae_sweep.versions: unknown version v10, v9: choose from fs_v1, " in message


@pytest.mark.parametrize(("value", "taken"), [(0.5, (0.5,)), (1, (1.0,))])
def test_a_single_beta_needs_no_list(value, taken):
    parameters = check_parameters(changed("vae_beta_sweep.betas", value))
    assert parameters.vae_beta_sweep.betas == taken
