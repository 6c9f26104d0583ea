import pytest

from cxr_pipeline.evaluation.network_tables import network_tables
from cxr_pipeline.evaluation.parameter_counts import PAPER_PARAMETERS


def test_the_gan_s_layers_are_those_of_figure_7():
    discriminator, generator = network_tables("gan", {}).values()
    assert discriminator["layer"].tolist()[:5] == [
        "Conv2D c_in = 1, c_out = 32, K=4, S=2, P=1",
        "LeakyReLU (slope = 0.2)",
        "Conv2D c_in = 32, c_out = 64, K=4, S=2, P=1",
        "BatchNorm2D (64)",
        "LeakyReLU (slope = 0.2)",
    ]
    assert discriminator.iloc[-1].tolist()[:2] == [
        "Conv2D c_in = 512, c_out = 1, K=4, S=2, P=1",
        "1 x 2 x 2",
    ]
    assert generator["layer"].iloc[0] == "ConvTranspose2D c_in = 100, c_out = 512, K=4, S=1, P=0"
    assert generator.iloc[-1].tolist() == ["Tanh", "1 x 128 x 128", 0]


def test_the_vae_s_layers_are_those_of_figure_4():
    tables = network_tables("vae", {})
    assert list(tables) == ["encoder", "decoder", "mean and logvar, each"]
    convolutions = [row for row in tables["encoder"]["layer"] if row.startswith("Conv2D")]
    assert len(convolutions) == 10  # two in every block
    assert tables["mean and logvar, each"]["layer"].tolist() == ["Linear 8192, 1024"]
    norms = [row for row in tables["decoder"]["layer"] if row.startswith("BatchNorm2D")]
    assert norms == [f"BatchNorm2D ({channels})" for channels in (256, 128, 64, 32)]


@pytest.mark.parametrize("model", ["gan", "vae"])
def test_layers_add_up_to_table_5(model):
    for name, table in network_tables(model, {}).items():
        part = "mean" if name.startswith("mean") else name
        assert table["parameters"].sum() == PAPER_PARAMETERS[model, part]


def test_a_model_s_own_dimensions_are_shown():
    discriminator, generator = network_tables(
        "gan", {"dim_z": 7, "patch_scores": False, "findings": ["Mass"]}
    ).values()
    assert discriminator["output"].iloc[-1] == "1 x 1 x 1"
    assert "c_in = 7," in generator["layer"].iloc[0]
    linear = network_tables("vae", {"dim_z": 8, "centre": True})["mean and logvar, each"]
    assert linear["parameters"].tolist() == [8192 * 8 + 8]


def test_a_model_without_a_figure_is_refused():
    with pytest.raises(ValueError, match="model='gmvae' has no figure in the paper: set it to"):
        network_tables("gmvae", {})
