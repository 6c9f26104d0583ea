"""The VAE's training step (the paper's sections 3.1 and 5), and how it is rebuilt to sample."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cxr_pipeline.data.batches import to_unit_interval
from cxr_pipeline.losses.gaussian import standard_normal_kl
from cxr_pipeline.losses.reconstruction import squared_error
from cxr_pipeline.models.modes import in_evaluation
from cxr_pipeline.models.vae import IMAGE_SIZE, Vae
from cxr_pipeline.training.latent_mixture import draw_latents, fit_latent_mixture
from cxr_pipeline.training.latents import active_units, posterior_collapse
from cxr_pipeline.training.quality import diversity, reconstruction_rmse
from cxr_pipeline.training.saved_model import below, load_network
from cxr_pipeline.training.task import (
    Diagnosis,
    Examples,
    Sampler,
    Update,
    split_examples,
)
from cxr_pipeline.training.updates import adam

__all__ = ["IMAGE_SIZE", "VaeTask", "architecture", "build_sampler", "build_task"]

Scaling = Literal["elbo", "authors"]

ENCODED_AT_ONCE = 64
MOST_FITTED = 20_000
"""Images that the latent mixture is fitted to at most."""


def architecture(parameters: Mapping[str, Any], findings: Sequence[str]) -> dict[str, Any]:
    """Say what is needed to rebuild the network, in JSON's types (see `models.Model`)."""
    return {"dim_z": parameters["dim_z"], "centre": parameters["centre"], "findings": []}


def build_task(architecture: Mapping[str, Any], parameters: Mapping[str, Any]) -> "VaeTask":
    """Build network and optimiser, with weights from torch's global generator."""
    return VaeTask(
        dim_z=architecture["dim_z"],
        centre=architecture["centre"],
        learning_rate=parameters["learning_rate"],
        beta=parameters["beta"],
        kl_warmup=parameters["kl_warmup"],
        scaling=parameters["scaling"],
        mixture_components=parameters["mixture_components"],
    )


def build_sampler(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Sampler:
    """Rebuild the decoder, with the sampler that the configuration names."""
    built = config["architecture"]
    vae = Vae(built["dim_z"], centre=built["centre"])
    load_network(vae, "vae", weights)
    mixture = below(weights, "mixture.") if config["parameters"]["sampler"] == "mixture" else None
    return Sampler(
        partial(_draw_latents, vae.dim_z, mixture),
        partial(_draw_images, vae),
        gaussian=True,
        encode=partial(_encode, vae),
    )


def _draw_latents(
    dim_z: int,
    mixture: Mapping[str, Tensor] | None,
    count: int,
    noise: torch.Generator,
    temperature: float,
) -> Tensor:
    if mixture is None:
        return temperature * torch.randn(count, dim_z, generator=noise)
    return draw_latents(mixture, count, noise, temperature)


def _draw_images(vae: Vae, latents: Tensor, findings: Tensor) -> Tensor:
    with in_evaluation(vae) as device:
        return vae.decode(latents.to(device)).float()


def _encode(vae: Vae, examples: Examples) -> tuple[Tensor, Tensor]:
    with in_evaluation(vae) as device:
        mean, logvar = vae.encode(to_unit_interval(examples["pixels"].to(device)))
    return mean.float(), logvar.float().exp()


class VaeTask:
    """One step down the negative ELBO."""

    drawing = "vae"
    processes = 1

    def __init__(
        self,
        *,
        dim_z: int,
        centre: bool,
        learning_rate: float,
        beta: float,
        kl_warmup: int,
        scaling: Scaling,
        mixture_components: int,
    ) -> None:
        """Build the network and its optimiser.

        Args:
            dim_z: Latent dimension Z.
            centre: See `models.vae.Centre`.
            learning_rate: Adam's.
            beta: The KL's weight in the ELBO.
            kl_warmup: Steps over which that weight grows from nothing.
            scaling: `elbo` sums squared errors over an image's pixels and averages both terms over
                the batch (section 3.1); `authors` is their code's: the error averaged over pixels,
                the KL summed over the batch.
            mixture_components: See `fit_latent_mixture`.
        """
        self.dim_z = dim_z
        self.beta, self.kl_warmup, self.scaling = beta, kl_warmup, scaling
        self.mixture_components = mixture_components
        vae = Vae(dim_z, centre=centre)
        self.modules: dict[str, nn.Module] = {"vae": vae}
        self.optimizers: dict[str, Optimizer] = {"vae": adam(vae, learning_rate=learning_rate)}

    def noise(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw what picks a point of each posterior (see `Task.noise`)."""
        return {"noise": torch.randn(count, self.dim_z, generator=generator)}

    def step(self, batch: Examples, step: int, update: Update) -> dict[str, Tensor]:
        """Take one step (see `Task.step`)."""
        images = to_unit_interval(batch["pixels"])
        drawn, mean, logvar = self.modules["vae"](images, batch["noise"])
        error = squared_error(drawn, images)
        kl = standard_normal_kl(mean, logvar)
        beta = self.beta * min(1.0, step / self.kl_warmup) if self.kl_warmup else self.beta
        loss = self._loss(error, kl, beta, self.processes)
        gradient = update("vae", loss)
        return {
            "loss/total": loss.detach(),
            "loss/reconstruction": error.detach().mean(),
            "loss/kl": kl.detach().mean(),
            "gradient/vae": gradient,
        }

    def sample(self, noise: torch.Generator, findings: Tensor) -> Tensor:
        """Draw images from the prior (see `Task.sample`)."""
        latents = torch.randn(len(findings), self.dim_z, generator=noise)
        vae: Any = self.modules["vae"]
        with in_evaluation(vae) as device:
            images: Tensor = vae.decode(latents.to(device))
        return images.float()

    def diagnose(self, examples: Examples, split: str, noise: torch.Generator) -> Diagnosis:
        """Take the ELBO apart on other images, and draw as many (see `Task.diagnose`)."""
        vae: Any = self.modules["vae"]
        errors, kls, means = [], [], []
        with in_evaluation(vae) as device:
            for some in split_examples(examples, ENCODED_AT_ONCE):
                images = to_unit_interval(some["pixels"])
                drawn_noise = torch.randn(len(images), self.dim_z, generator=noise).to(device)
                drawn, mean, logvar = vae(images, drawn_noise)
                errors.append(squared_error(drawn, images))
                kls.append(standard_normal_kl(mean, logvar))
                means.append(mean)
        error, kl = torch.cat(errors), torch.cat(kls)
        every_mean = torch.cat(means)
        # After all other noise, which stays what it was without it.
        asked = torch.split(examples["findings"], ENCODED_AT_ONCE)
        drawn = torch.cat([self.sample(noise, findings) for findings in asked])
        return Diagnosis(
            {
                f"{split}/loss": float(self._loss(error, kl, self.beta)),
                f"{split}/reconstruction": float(error.mean()),
                f"{split}/kl": float(kl.mean()),
                "latent/active_units": float(active_units(every_mean).sum()),
                **diversity(drawn, to_unit_interval(examples["pixels"])),
                **reconstruction_rmse(error, examples["pixels"][0].numel()),
            },
            posterior_collapse("vae", every_mean, float(kl.mean())),
        )

    def _loss(self, error: Tensor, kl: Tensor, beta: float, shares: int = 1) -> Tensor:
        """The negative ELBO from errors and KLs, (B,) each, in the scaling asked for.

        They may be of one of a batch's equal shares: averaged over these it is the batch's.
        """
        if self.scaling == "elbo":
            return error.mean() + beta * kl.mean()
        return error.mean() / IMAGE_SIZE**2 + beta * shares * kl.sum()

    def finish(self, examples: Examples, noise: torch.Generator) -> dict[str, Tensor]:
        """Fit the mixture that the sampler may draw from (see `Task.finish`)."""
        vae: Any = self.modules["vae"]
        pixels = examples["pixels"]
        chosen = torch.randperm(len(pixels), generator=noise)[:MOST_FITTED].to(pixels.device)
        with in_evaluation(vae) as device:
            encoded = [
                vae.encode(to_unit_interval(pixels[some].to(device)))
                for some in torch.split(chosen, ENCODED_AT_ONCE)
            ]
        means, logvars = (torch.cat(parts).float() for parts in zip(*encoded, strict=True))
        fitted = fit_latent_mixture(means, logvars, components=self.mixture_components, noise=noise)
        return {f"mixture.{key}": tensor for key, tensor in fitted.items()}

    def reconstruct(self, examples: Examples) -> Tensor:
        """Draw images from their posterior means (see `Task.reconstruct`)."""
        vae: Any = self.modules["vae"]
        with in_evaluation(vae):
            mean, _ = vae.encode(to_unit_interval(examples["pixels"]))
            images: Tensor = vae.decode(mean)
        return images.float()
