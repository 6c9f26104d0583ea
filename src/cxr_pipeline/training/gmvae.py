"""The GMVAE's training step (the paper's sections 3.1 and 5.1), and how it is rebuilt to sample."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cxr_pipeline.data.batches import to_unit_interval
from cxr_pipeline.losses.mixture import component_log_densities, monte_carlo_kl
from cxr_pipeline.losses.reconstruction import binary_cross_entropy, squared_error
from cxr_pipeline.models.encoders import FEATURES, IMAGE_SIZE, ImageEncoder
from cxr_pipeline.models.gmvae import Gmvae, draw_images
from cxr_pipeline.models.modes import in_evaluation
from cxr_pipeline.training.feature_cache import build_encoder
from cxr_pipeline.training.latents import active_units, posterior_collapse
from cxr_pipeline.training.quality import diversity, reconstruction_rmse
from cxr_pipeline.training.saved_model import load_network
from cxr_pipeline.training.task import (
    Diagnosis,
    Examples,
    Sampler,
    Update,
    split_examples,
)
from cxr_pipeline.training.updates import adam

__all__ = ["IMAGE_SIZE", "GmvaeTask", "architecture", "build_sampler", "build_task"]

Reconstruction = Literal["mse", "bce"]

LOOKED_AT_ONCE = 64
COLOURS = 3


def architecture(parameters: Mapping[str, Any], findings: Sequence[str]) -> dict[str, Any]:
    """Say what is needed to rebuild the network, in JSON's types (see `models.Model`)."""
    row = dict(parameters["row"])
    conditional = row.pop("conditional")
    return {
        **row,
        "fine_tune": parameters["fine_tune"],
        "findings": list(findings) if conditional else [],
    }


def build_task(architecture: Mapping[str, Any], parameters: Mapping[str, Any]) -> "GmvaeTask":
    """Build network and optimiser, with weights from torch's global generator.

    Raises:
        ValueError: If the encoder is to learn and its first weights cannot be had.
    """
    encoder = None
    if architecture["fine_tune"]:
        encoder, _ = build_encoder(
            architecture["encoder"],
            normalise=architecture["normalise"],
            weights=parameters["weights"],
            seed=parameters["seed"],
        )
    return GmvaeTask(
        _network(architecture, encoder),
        dim_z=architecture["dim_z"],
        learning_rate=parameters["learning_rate"],
        beta=parameters["beta"],
        reconstruction=parameters["reconstruction"],
    )


def build_sampler(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Sampler:
    """Rebuild prior and decoder."""
    built = config["architecture"]
    encoder = None
    if built["fine_tune"]:
        # Its trained weights are among the model's.
        encoder = ImageEncoder(built["encoder"], normalise=built["normalise"])
    gmvae = _network(built, encoder)
    load_network(gmvae, "gmvae", weights)
    prior = gmvae.prior
    return Sampler(
        prior.draw,
        partial(draw_images, gmvae),
        gaussian=True,
        encode=partial(_encode, gmvae),
        mixture=(prior.means.detach(), prior.variances.detach()),
    )


def _network(built: Mapping[str, Any], encoder: ImageEncoder | None) -> Gmvae:
    return Gmvae(
        features=FEATURES[built["encoder"]],
        dim_z=built["dim_z"],
        components=built["components"],
        transition=built["transition"],
        decoder=built["decoder"],
        findings=len(built["findings"]),
        encoder=encoder,
    )


def _encode(gmvae: Gmvae, examples: Examples) -> tuple[Tensor, Tensor]:
    if gmvae.encoder is None and "features" not in examples:
        raise ValueError(
            "features=None: this gmvae's encoder was frozen, so give what it made of the images, "
            "`feature_cache.open_features` of a folder below data/05_model_input/features"
        )
    with in_evaluation(gmvae) as device:
        findings = examples["findings"].to(device)
        inputs = _inputs(examples, fine_tunes=gmvae.encoder is not None)
        return gmvae.encode(inputs.to(device), findings)


def _inputs(examples: Examples, *, fine_tunes: bool) -> Tensor:
    """What is encoded: images where the image encoder learns, else its features."""
    return to_unit_interval(examples["pixels"]) if fine_tunes else examples["features"].float()


class GmvaeTask:
    """One step down the negative ELBO, its KL estimated from one draw of each posterior."""

    drawing = "gmvae"
    processes = 1

    def __init__(
        self,
        gmvae: Gmvae,
        *,
        dim_z: int,
        learning_rate: float,
        beta: float,
        reconstruction: Reconstruction,
    ) -> None:
        """Take the network and build its optimiser.

        Args:
            gmvae: With an encoder that learns, or without for features computed beforehand.
            dim_z: Latent dimension Z.
            learning_rate: Adam's.
            beta: The KL's weight in the ELBO.
            reconstruction: Squared error or cross entropy, summed over pixels and colours.
        """
        self.dim_z, self.beta, self.reconstruction = dim_z, beta, reconstruction
        self.fine_tunes = gmvae.encoder is not None
        self.modules: dict[str, nn.Module] = {"gmvae": gmvae}
        self.optimizers: dict[str, Optimizer] = {"gmvae": adam(gmvae, learning_rate=learning_rate)}

    def noise(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw what picks a point of each posterior (see `Task.noise`)."""
        return {"noise": torch.randn(count, self.dim_z, generator=generator)}

    def step(self, batch: Examples, step: int, update: Update) -> dict[str, Tensor]:
        """Take one step (see `Task.step`)."""
        error, kl, *_ = self._terms(batch)
        loss = error.mean() + self.beta * kl.mean()
        gradient = update("gmvae", loss)
        return {
            "loss/total": loss.detach(),
            "loss/reconstruction": error.detach().mean(),
            "loss/kl": kl.detach().mean(),
            "gradient/gmvae": gradient,
        }

    def sample(self, noise: torch.Generator, findings: Tensor) -> Tensor:
        """Draw images from the prior (see `Task.sample`)."""
        gmvae: Any = self.modules["gmvae"]
        return draw_images(gmvae, gmvae.prior.draw(len(findings), noise), findings)

    def diagnose(self, examples: Examples, split: str, noise: torch.Generator) -> Diagnosis:
        """Take the ELBO apart on other images, and draw as many (see `Task.diagnose`)."""
        gmvae: Any = self.modules["gmvae"]
        parts = []
        with in_evaluation(gmvae) as device:
            for some in split_examples(examples, LOOKED_AT_ONCE):
                count = len(some["pixels"])
                drawn = {name: t.to(device) for name, t in self.noise(count, noise).items()}
                error, kl, latents, mean, logits = self._terms({**some, **drawn})
                images = to_unit_interval(some["pixels"]).expand_as(logits)
                squared = squared_error(logits.float().sigmoid(), images)
                densities = component_log_densities(
                    latents, gmvae.prior.means, gmvae.prior.variances
                )
                parts.append((error, kl, mean, densities.softmax(dim=1), squared))
        errors, kls, means, shares, squares = (torch.cat(p) for p in zip(*parts, strict=True))
        # After all other noise, which stays what it was without it.
        asked = torch.split(examples["findings"], LOOKED_AT_ONCE)
        made = torch.cat([self.sample(noise, findings) for findings in asked])
        kl_mean = float(kls.mean())
        used = shares.mean(dim=0)  # (K,), each component's part in all images
        in_use = int((shares.argmax(dim=1).bincount() > 0).sum())
        warnings = posterior_collapse("gmvae", means, kl_mean)
        if in_use == 1 < used.numel():
            warnings["mixture_collapse"] = (
                f"all images lie in 1 of the prior's {used.numel()} Gaussians: the mixture is no "
                "better than one"
            )
        return Diagnosis(
            {
                f"{split}/loss": float(errors.mean()) + self.beta * kl_mean,
                f"{split}/reconstruction": float(errors.mean()),
                f"{split}/kl": kl_mean,
                "latent/active_units": float(active_units(means).sum()),
                "latent/components_in_use": float(in_use),
                "latent/component_entropy": float(torch.special.entr(used).sum()),
                **diversity(made, to_unit_interval(examples["pixels"])),
                **reconstruction_rmse(squares, COLOURS * examples["pixels"][0].numel()),
            },
            warnings,
        )

    def finish(self, examples: Examples, noise: torch.Generator) -> dict[str, Tensor]:
        """Nothing is to be added (see `Task.finish`)."""
        return {}

    def reconstruct(self, examples: Examples) -> Tensor:
        """Draw images from their posterior means (see `Task.reconstruct`)."""
        gmvae: Any = self.modules["gmvae"]
        with in_evaluation(gmvae):
            inputs = _inputs(examples, fine_tunes=self.fine_tunes)
            mean, _ = gmvae.encode(inputs, examples["findings"])
        return draw_images(gmvae, mean, examples["findings"])

    def _terms(self, examples: Examples) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Both terms of the negative ELBO, (B,) nats each, and what they come from.

        That is latents and posterior means, (B, Z) each, and the decoded logits, (B, 3, H, W).
        """
        gmvae: Any = self.modules["gmvae"]
        pixels, findings = examples["pixels"], examples["findings"]
        inputs = _inputs(examples, fine_tunes=self.fine_tunes)
        logits, latents, mean, variance = gmvae(inputs, findings, examples["noise"])
        images = to_unit_interval(pixels).expand_as(logits)  # grey as red, green and blue
        if self.reconstruction == "mse":
            error = squared_error(logits.float().sigmoid(), images)
        else:
            error = binary_cross_entropy(logits, images)
        prior = gmvae.prior
        kl = monte_carlo_kl(latents, mean, variance, prior.means, prior.variances)
        return error, kl, latents, mean, logits
