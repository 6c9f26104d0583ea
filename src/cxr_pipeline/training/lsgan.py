"""The LSGAN's training step (the paper's sections 3.2 and 5)."""

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from cxr_pipeline.data.batches import to_signed_interval
from cxr_pipeline.losses.least_squares import discriminator_loss, generator_loss
from cxr_pipeline.models.lsgan import Discriminator, Generator, draw_images, draw_noise
from cxr_pipeline.training.task import Randomness, Update


class LsganTask:
    """One discriminator step, then several generator steps, each on fresh noise."""

    def __init__(
        self,
        *,
        dim_z: int,
        patch_scores: bool,
        learning_rate: float,
        betas: tuple[float, float],
        generator_steps: int,
    ) -> None:
        """Build both networks and their optimisers.

        Args:
            dim_z: Noise dimension Z.
            patch_scores: See `Discriminator`.
            learning_rate: Adam's, for both networks.
            betas: Adam's, for both networks.
            generator_steps: Generator steps for each discriminator step.
        """
        self.dim_z = dim_z
        self.generator_steps = generator_steps
        self.modules: dict[str, nn.Module] = {
            "generator": Generator(dim_z),
            "discriminator": Discriminator(patch_scores=patch_scores),
        }
        self.optimizers: dict[str, Optimizer] = {
            name: Adam(module.parameters(), lr=learning_rate, betas=betas)
            for name, module in self.modules.items()
        }

    def step(self, pixels: Tensor, randomness: Randomness, update: Update) -> dict[str, Tensor]:
        """Take one discriminator and `generator_steps` generator steps (see `Task.step`)."""
        generator, discriminator = self.modules["generator"], self.modules["discriminator"]
        real = to_signed_interval(pixels)  # (B, 1, H, W) in [-1, 1]
        noise = randomness("noise")

        with torch.no_grad():
            fake = generator(draw_noise(len(real), self.dim_z, noise).to(real.device))
        loss_d = discriminator_loss(discriminator(real), discriminator(fake))
        update("discriminator", loss_d)

        # The generator needs gradients through the discriminator, not those of its weights.
        discriminator.requires_grad_(False)
        for _ in range(self.generator_steps):
            fake = generator(draw_noise(len(real), self.dim_z, noise).to(real.device))
            loss_g = generator_loss(discriminator(fake))
            update("generator", loss_g)
        discriminator.requires_grad_(True)
        return {"loss/discriminator": loss_d.detach(), "loss/generator": loss_g.detach()}

    def sample(self, noise: torch.Generator, count: int) -> Tensor:
        """Draw images (see `Task.sample`)."""
        return draw_images(self.modules["generator"], draw_noise(count, self.dim_z, noise))
