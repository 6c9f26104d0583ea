"""Models as they are saved, small and untrained: what `ImageGenerator` is built from."""

import torch

from cxr_pipeline.data.conditions import multi_hot
from cxr_pipeline.data.findings import NO_FINDING
from cxr_pipeline.models.gmvae import Gmvae
from cxr_pipeline.models.lsgan import Discriminator, Generator
from cxr_pipeline.models.vae import Vae
from cxr_pipeline.training.latent_mixture import fit_latent_mixture

BALANCE = {NO_FINDING: 60, "Mass": 30, "Cardiomegaly|Effusion": 10}


def flat_weights(networks):
    return {
        f"{name}.{key}": tensor
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
    }


def gan(findings=()):
    """A GAN whose batch norm has seen some noise, so that its images are not all grey."""
    torch.manual_seed(0)
    generator = Generator(8, findings=len(findings))
    told = multi_hot([*BALANCE] * 8, findings) if findings else None
    for _ in range(3):
        generator(torch.rand(24, 8) * 2 - 1, told)
    config = {
        "model": "gan",
        "architecture": {"dim_z": 8, "patch_scores": True, "findings": list(findings)},
        "training_labels": BALANCE,
    }
    networks = {"generator": generator, "discriminator": Discriminator(findings=len(findings))}
    return config, flat_weights(networks)


def vae(sampler):
    torch.manual_seed(0)
    network = Vae(8, centre=True)
    network(torch.rand(16, 1, 128, 128), torch.randn(16, 8))
    means = torch.randn(40, 8) + 10
    mixture = fit_latent_mixture(
        means, torch.zeros_like(means), components=2, noise=torch.Generator().manual_seed(0)
    )
    config = {
        "model": "vae",
        "architecture": {"dim_z": 8, "centre": True, "findings": []},
        "parameters": {"sampler": sampler},
    }
    weights = flat_weights({"vae": network})
    return config, weights | {f"mixture.{name}": tensor for name, tensor in mixture.items()}


def gmvae(findings=(), components=3):
    torch.manual_seed(0)
    built = {"dim_z": 8, "components": components, "transition": True, "decoder": "1"}
    network = Gmvae(features=512, findings=len(findings), **built)
    network.decode(torch.randn(16, 8), torch.zeros(16, len(findings)))
    own = {"encoder": "vgg16", "normalise": True, "fine_tune": False, "findings": list(findings)}
    config = {"model": "gmvae", "architecture": built | own, "training_labels": BALANCE}
    return config, flat_weights({"gmvae": network})
