"""The LSGAN's training step (the paper's sections 3.2 and 5), and how it is rebuilt to sample."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cxr_pipeline.data.batches import to_signed_interval, to_unit_interval
from cxr_pipeline.losses.least_squares import discriminator_loss, generator_loss
from cxr_pipeline.models.lsgan import (
    IMAGE_SIZE,
    Discriminator,
    Generator,
    draw_images,
    draw_noise,
)
from cxr_pipeline.training.quality import DIVERSITY, diversity
from cxr_pipeline.training.saved_model import load_network
from cxr_pipeline.training.task import Diagnosis, Examples, Sampler, Update
from cxr_pipeline.training.updates import adam

__all__ = ["IMAGE_SIZE", "LsganTask", "architecture", "build_sampler", "build_task"]

LEAST_DIVERSITY = 0.3
"""Drawn images that vary less, as a share of how much real ones do, are called collapsed."""


def architecture(parameters: Mapping[str, Any], findings: Sequence[str]) -> dict[str, Any]:
    """Say what is needed to rebuild the networks, in JSON's types.

    Args:
        parameters: `GanParameters`, in JSON's types.
        findings: The label vector's entries, should the model be conditional.
    """
    return {
        "dim_z": parameters["dim_z"],
        "patch_scores": parameters["patch_scores"],
        "findings": list(findings) if parameters["conditional"] else [],
    }


def build_task(architecture: Mapping[str, Any], parameters: Mapping[str, Any]) -> "LsganTask":
    """Build networks and optimisers, with weights from torch's global generator."""
    return LsganTask(
        dim_z=architecture["dim_z"],
        patch_scores=architecture["patch_scores"],
        findings=len(architecture["findings"]),
        learning_rate=parameters["learning_rate"],
        betas=tuple(parameters["betas"]),
        generator_steps=parameters["generator_steps"],
    )


def build_sampler(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Sampler:
    """Rebuild the generator."""
    built = config["architecture"]
    generator = Generator(built["dim_z"], findings=len(built["findings"]))
    load_network(generator, "generator", weights)

    def draw_latents(count: int, noise: torch.Generator, temperature: float) -> Tensor:
        return temperature * draw_noise(count, generator.dim_z, noise)

    return Sampler(draw_latents, partial(draw_images, generator), gaussian=False)


class LsganTask:
    """One discriminator step, then several generator steps, each on fresh noise."""

    drawing = "generator"
    processes = 1

    def __init__(
        self,
        *,
        dim_z: int,
        patch_scores: bool,
        learning_rate: float,
        betas: tuple[float, float],
        generator_steps: int,
        findings: int = 0,
    ) -> None:
        """Build both networks and their optimisers.

        Args:
            dim_z: Noise dimension Z.
            patch_scores: See `Discriminator`.
            learning_rate: Adam's, for both networks.
            betas: Adam's, for both networks.
            generator_steps: Generator steps for each discriminator step.
            findings: Entries C of the label vector; 0 is the paper's, unconditional model.
        """
        self.dim_z = dim_z
        self.generator_steps = generator_steps
        self.modules: dict[str, nn.Module] = {
            "generator": Generator(dim_z, findings=findings),
            "discriminator": Discriminator(patch_scores=patch_scores, findings=findings),
        }
        self.optimizers: dict[str, Optimizer] = {
            name: adam(module, learning_rate=learning_rate, betas=betas)
            for name, module in self.modules.items()
        }

    def noise(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw the generator's inputs (see `Task.noise`)."""
        draws = 1 + self.generator_steps
        noise = torch.stack([draw_noise(count, self.dim_z, generator) for _ in range(draws)], dim=1)
        return {"noise": noise}  # (B, draws, Z)

    def step(self, batch: Examples, step: int, update: Update) -> dict[str, Tensor]:
        """Take one discriminator and `generator_steps` generator steps (see `Task.step`)."""
        generator, discriminator = self.modules["generator"], self.modules["discriminator"]
        real = to_signed_interval(batch["pixels"])  # (B, 1, H, W) in [-1, 1]
        findings = batch["findings"]
        first, *others = batch["noise"].unbind(dim=1)  # (B, Z) each

        with torch.no_grad():
            fake = generator(first, findings)
        real_scores, fake_scores = discriminator(real, findings), discriminator(fake, findings)
        loss_d = discriminator_loss(real_scores, fake_scores)
        gradient_d = update("discriminator", loss_d)

        # The generator needs gradients through the discriminator, not those of its weights.
        discriminator.requires_grad_(False)
        for noise in others:
            loss_g = generator_loss(discriminator(generator(noise, findings), findings))
            gradient_g = update("generator", loss_g)
        discriminator.requires_grad_(True)
        return {
            "loss/discriminator": loss_d.detach(),
            "loss/generator": loss_g.detach(),
            "scores/real": real_scores.detach().float().mean(),
            "scores/drawn": fake_scores.detach().float().mean(),
            "gradient/discriminator": gradient_d,
            "gradient/generator": gradient_g,
        }

    def sample(self, noise: torch.Generator, findings: Tensor) -> Tensor:
        """Draw images (see `Task.sample`)."""
        drawn = draw_noise(len(findings), self.dim_z, noise)
        return draw_images(self.modules["generator"], drawn, findings)

    @torch.no_grad()
    def diagnose(self, examples: Examples, split: str, noise: torch.Generator) -> Diagnosis:
        """Compare how drawn and real images vary (see `Task.diagnose`).

        See `quality.diversity`.
        """
        drawn = self.sample(noise, examples["findings"])
        found = diversity(drawn, to_unit_interval(examples["pixels"]))
        warnings = {}
        if (share := found.get(DIVERSITY, 1.0)) < LEAST_DIVERSITY:
            warnings["collapse"] = (
                f"the generator may have collapsed: its images vary {share:.2f} times as much "
                f"as real ones (below {LEAST_DIVERSITY}); look at the samples, try another gan.seed"
            )
        return Diagnosis(found, warnings)

    def finish(self, examples: Examples, noise: torch.Generator) -> dict[str, Tensor]:
        """Nothing is to be added (see `Task.finish`)."""
        return {}

    def reconstruct(self, examples: Examples) -> None:
        """A GAN does not encode (see `Task.reconstruct`)."""
        return
