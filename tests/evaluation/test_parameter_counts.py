from itertools import pairwise

import pytest
import torch
from tests.table_4 import TABLE_4
from torch import nn

from cxr_pipeline.evaluation.parameter_counts import (
    PAPER_PARAMETERS,
    count_gmvae,
    count_parameters,
    versions_table,
)
from cxr_pipeline.models.lsgan import Discriminator, Generator

COLUMNS = ["model", "component", "parameters", "paper", "counted_as_paper", "note"]


def test_weights_and_biases_count_and_buffers_do_not():
    network = nn.Sequential(nn.Conv2d(2, 3, 4, bias=False), nn.BatchNorm2d(3), nn.Linear(5, 7))
    counts = count_parameters("mine", {"network": network})
    assert counts["parameters"].tolist() == [2 * 3 * 16 + 2 * 3 + 5 * 7 + 7] * 2


def test_components_stand_in_order_with_their_total_below():
    counts = count_parameters("mine", {"b": nn.Linear(1, 2), "a": nn.Linear(2, 2, bias=False)})
    assert counts[["model", "component", "parameters"]].to_numpy().tolist() == [
        ["mine", "b", 4],
        ["mine", "a", 4],
        ["mine", "total", 8],
    ]
    assert list(counts.columns) == COLUMNS
    assert counts["counted_as_paper"].isna().all()
    assert str(counts["counted_as_paper"].dtype) == "Int64"


def test_frozen_parameters_count_too():
    network = nn.Linear(3, 3).requires_grad_(False)
    assert count_parameters("mine", {"network": network})["parameters"].tolist() == [12, 12]


def test_the_papers_numbers_stand_beside_and_are_missing_where_it_has_none():
    networks = {"generator": nn.Linear(1, 1), "discriminator": nn.Linear(1, 1), "other": nn.ReLU()}
    counts = count_parameters("gan", networks).set_index("component")["paper"]
    assert str(counts.dtype) == "Int64"
    assert counts.fillna(-1).to_dict() == {
        "generator": 3_606_976,
        "discriminator": 2_795_904,
        "other": -1,
        "total": 6_402_880,
    }
    assert count_parameters("another", networks)["paper"].isna().all()


@pytest.mark.parametrize("model", sorted({model for model, _ in PAPER_PARAMETERS}))
def test_the_papers_components_add_up_to_its_total(model):
    numbers = {part: n for (name, part), n in PAPER_PARAMETERS.items() if name == model}
    assert numbers.pop("total") == sum(numbers.values())


def test_the_gan_is_table_5_s():
    with torch.device("meta"):
        networks = {"discriminator": Discriminator(), "generator": Generator(100)}
    counts = count_parameters("gan", networks).set_index("component")
    assert counts["parameters"].to_dict() == {
        "discriminator": 2_795_904,
        "generator": 3_606_976,
        "total": 6_402_880,
    }
    assert (counts["parameters"] == counts["paper"]).all()


def vae_blocks():
    """The VAE's parts as Fig. 4 has them, without what has no parameters."""
    channels = (1, 32, 64, 128, 256, 512)
    encoder = nn.Sequential()
    for i, o in pairwise(channels):
        encoder.extend([nn.Conv2d(i, o, 3), nn.Conv2d(o, o, 3)])
    decoder = nn.Sequential(nn.Linear(1024, 8192))
    for i, o in pairwise(reversed(channels)):
        decoder.append(nn.ConvTranspose2d(i, o, 4))
        if o > 1:
            decoder.append(nn.BatchNorm2d(o))
    heads = {"mean": nn.Linear(8192, 1024), "logvar": nn.Linear(8192, 1024)}
    return {"encoder": encoder, **heads, "decoder": decoder}


def test_the_vae_is_table_5_s():
    with torch.device("meta"):
        counts = count_parameters("vae", vae_blocks()).set_index("component")
    assert counts["parameters"].to_dict() == {
        "encoder": 4_711_648,
        "mean": 8_389_632,
        "logvar": 8_389_632,
        "decoder": 11_184_033,
        "total": 32_674_945,
    }
    assert (counts["parameters"] == counts["paper"]).all()
    assert counts["note"].astype(bool).to_dict() == {
        "encoder": False,
        "mean": True,
        "logvar": True,
        "decoder": False,
        "total": False,
    }


def counts_of(version):
    counts = count_gmvae(TABLE_4[version])
    assert list(counts.columns) == COLUMNS
    assert set(counts["model"]) == {"gmvae"}
    return counts.set_index("component")


@pytest.mark.parametrize(
    ("version", "biases", "decoder", "total"),
    [("v4", 15, 1_920, 14_716_608), ("v8", 115, 172_800, 14_887_488)],
)
def test_the_gmvae_is_table_5_s(version, biases, decoder, total):
    counts = counts_of(version)
    features = counts.loc["encoder features"]
    assert features["parameters"] == features["paper"] == 14_714_688
    convolutions = counts.loc["decoder transposed convolutions"]
    assert convolutions["parameters"] == decoder + biases
    assert convolutions["counted_as_paper"] == convolutions["paper"] == decoder
    frozen, tuned = counts.loc["total, encoder frozen"], counts.loc["total, encoder fine-tuned"]
    assert frozen["counted_as_paper"] == frozen["paper"] == decoder
    assert tuned["counted_as_paper"] == tuned["paper"] == total
    assert tuned["parameters"] == frozen["parameters"] + 14_714_688
    # Every other row is not in the paper, and says so.
    silent = counts["paper"].isna() & counts["counted_as_paper"].isna()
    assert (counts["note"] == "not counted in the paper").equals(silent)
    assert set(counts.index[silent]) == {
        "transition net",
        "mean and variance",
        "prior",
        "decoder linear layers",
        "decoder batch norms",
    }


def test_the_parts_of_the_gmvae_are_counted_one_by_one():
    assert counts_of("v4")["parameters"].to_dict() == {
        "encoder features": 14_714_688,
        "transition net": 512 * 300 + 300 + 2 * 300,
        "mean and variance": 2 * (300 * 1000 + 1000),
        "prior": 2 * 50 * 1000,
        "decoder linear layers": 1000 * 14**3 + 14**3,
        "decoder transposed convolutions": 1_935,
        "decoder batch norms": 2 * (6 + 3 + 3),
        "total, encoder frozen": (frozen := 154_500 + 602_000 + 100_000 + 2_746_744 + 1_935 + 24),
        "total, encoder fine-tuned": 14_714_688 + frozen,
    }


def test_what_a_version_lacks_has_no_row_and_what_the_paper_does_not_count_no_number():
    no_transition = counts_of("v3")
    assert "transition net" not in no_transition.index
    assert no_transition.loc["mean and variance", "parameters"] == 2 * (25_088 * 1000 + 1000)
    linear = counts_of("fs_v1")
    assert linear.loc["mean and variance", "parameters"] == 2 * (314 * 1000 + 1000)
    widths = [1014, 2560, 2560, 2560, 2560, 784, 150_528]
    expected = sum((i + 1) * o for i, o in pairwise(widths))
    assert linear.loc["decoder linear layers", "parameters"] == expected
    assert not {"decoder transposed convolutions", "decoder batch norms"} & set(linear.index)
    assert linear["paper"].dropna().to_dict() == {"encoder features": 14_714_688}
    assert linear["counted_as_paper"].isna().all()


def test_densenet_has_no_number_in_the_paper_but_one_counted_its_way():
    counts = counts_of("v6")
    assert counts.loc["encoder features", "parameters"] == 6_953_856
    assert counts["paper"].dropna().to_dict() == {
        "decoder transposed convolutions": 172_800,
        "total, encoder frozen": 172_800,
    }
    assert counts.loc["total, encoder fine-tuned", "counted_as_paper"] == 6_953_856 + 172_800


def test_the_versions_are_table_4_s_with_their_parameters():
    table = versions_table(TABLE_4)
    assert table["version"].tolist() == list(TABLE_4)
    table = table.set_index("version")
    for version, architecture in TABLE_4.items():
        row = table.loc[version]
        for key in ("dim_z", "components", "transition", "normalise", "encoder", "decoder"):
            assert row[key] == architecture[key]
        assert row["conditioned"] == version.startswith("fs")
        counts = counts_of(version)["parameters"].to_dict()
        assert row["total"] == counts.pop("total, encoder fine-tuned")
        del counts["total, encoder frozen"]
        for part, count in counts.items():
            assert row[part.replace(" ", "_")] == count
    parts = table.loc[:, "encoder_features":"decoder_batch_norms"]
    assert (parts.sum(axis=1) == table["total"]).all()
    assert table["total_as_paper"].fillna(0).to_dict() == {
        "fs_v1": 0,
        "fs_v2": 0,
        "fs_v3": 14_716_608,
        "v3": 14_716_608,
        "v4": 14_716_608,
        "v5": 14_887_488,
        "v6": 7_126_656,
        "v7": 14_887_488,
        "v8": 14_887_488,
    }
    assert str(table["total_as_paper"].dtype) == "Int64"
