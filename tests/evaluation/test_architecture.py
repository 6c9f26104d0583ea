import re

import pytest
import torch
from tests.table_4 import TABLE_4
from torch import nn

from cxr_pipeline.evaluation.architecture import (
    Block,
    blocks,
    gmvae_diagram,
    lsgan_diagram,
    vae_diagram,
)

PAPER_GAN = lsgan_diagram(dim_z=100, patch_scores=True)
PAPER_VAE = vae_diagram(dim_z=1024, centre=False)


def counts(diagram, *, titles=False):
    """The numbers of parameters in a diagram: those of the blocks, or those of the networks."""
    lines = [line for line in diagram.splitlines() if ("subgraph" in line) == titles]
    return [
        int(found[1].replace(",", ""))
        for line in lines
        if (found := re.search(r"([\d,]+) parameters", line))
    ]


def test_layers_of_one_resolution_are_a_block():
    layers = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(2, 2, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(2, 4, 4, stride=2, padding=1, bias=False),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    assert blocks(layers, (1, 8, 8)) == [
        Block("2 x Conv 3 x 3, ReLU, MaxPool 2", 20 + 38, (2, 4, 4)),
        Block("Conv 4 x 4 stride 2", 128, (16,)),
        Block("Linear", 51, (3,)),
    ]


def test_the_gan_s_parameters_are_the_paper_s():
    assert counts(PAPER_GAN, titles=True) == [3_606_976, 2_795_904]
    assert sum(counts(PAPER_GAN)) == 6_402_880


def test_the_vae_s_parameters_are_the_paper_s():
    assert counts(PAPER_VAE, titles=True) == [4_711_648 + 2 * 8_389_632, 11_184_033]
    assert sum(counts(PAPER_VAE)) == 32_674_945


@pytest.mark.parametrize("name", TABLE_4)
def test_every_version_of_the_gmvae_is_drawn_as_table_4_has_it(name):
    version = TABLE_4[name]
    diagram = gmvae_diagram(version, fine_tune=False)
    assert ("MaxPool 7" in diagram) == version["transition"]
    assert ("Normalise as ImageNet" in diagram) == version["normalise"]
    assert {"vgg16": "VGG16", "densenet121": "DenseNet121"}[version["encoder"]] in diagram
    assert f"Prior: {version['components']} Gaussians" in diagram
    assert f'<br>{version["dim_z"]:,}"' in diagram
    assert ("findings --> encoder" in diagram) == (version["findings"] > 0)


def test_a_frozen_encoder_is_told_from_a_fine_tuned_one():
    assert "frozen" in gmvae_diagram(TABLE_4["v4"], fine_tune=False)
    assert "fine-tuned" in gmvae_diagram(TABLE_4["v4"], fine_tune=True)


def test_a_gan_told_of_findings_shows_where_they_go():
    diagram = lsgan_diagram(dim_z=100, patch_scores=True, findings=14)
    assert "findings --> generator" in diagram
    assert "findings --> discriminator" in diagram
    assert "Agreement with findings" in diagram


def test_one_score_an_image_or_four():
    assert "scores<br>1 x 2 x 2" in PAPER_GAN
    assert "scores<br>1 x 1 x 1" in lsgan_diagram(dim_z=100, patch_scores=False)


@pytest.mark.parametrize("diagram", [PAPER_GAN, PAPER_VAE])
def test_arrows_join_what_is_there(diagram):
    named = set(re.findall(r"^ *(?:subgraph )?(\w+)[\[(]", diagram, flags=re.MULTILINE))
    arrows = [line for line in diagram.splitlines() if "-->" in line]
    joined = {
        end for line in arrows for end in re.sub(r'\|".*?"\|', "", line).split() if end[0] != "-"
    }
    assert joined <= named


def test_drawing_does_not_touch_torch_s_random_numbers():
    before = torch.get_rng_state()
    vae_diagram(dim_z=16, centre=True)
    assert torch.equal(torch.get_rng_state(), before)
