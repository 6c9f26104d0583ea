"""The GMVAE and, given findings, the FS-GMVAE (the paper's section 3.1 and Table 4)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from cxr_pipeline.models.decoders import build_decoder
from cxr_pipeline.models.encoders import FEATURE_SIZE, ImageEncoder
from cxr_pipeline.models.modes import in_evaluation

SMALLEST_VARIANCE = 1e-8

TRANSITION_CHANNELS = 300


class MixturePrior(nn.Module):
    """A mixture of K learnt diagonal Gaussians over the latents, all of the same weight."""

    def __init__(self, components: int, dim_z: int) -> None:
        """Draw the first means and variances from torch's global generator.

        Args:
            components: Number of Gaussians K.
            dim_z: Dimension of the latents Z.
        """
        super().__init__()
        # The scale of Stanford's CS236, whose exercise the authors began with.
        scale = 1 / math.sqrt(components * dim_z)
        self.means = nn.Parameter(torch.randn(components, dim_z) * scale)  # (K, Z)
        self.raw_variances = nn.Parameter(torch.randn(components, dim_z) * scale)  # (K, Z)

    @property
    def variances(self) -> Tensor:
        """(K, Z), above 0."""
        return _variance(self.raw_variances)

    @torch.no_grad()
    def draw(self, count: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Draw latents: a Gaussian each, all alike in chance, and a point of it.

        Args:
            count: How many, N.
            generator: Of random numbers on the CPU, so that a seed means the same on any device.
            temperature: Factor on the standard deviations; 0 draws the means.

        Returns:
            (N, Z) float32, on the prior's device.
        """
        components, dim_z = self.means.shape
        chosen = torch.randint(components, (count,), generator=generator)  # (N,)
        noise = torch.randn(count, dim_z, generator=generator)  # (N, Z)
        chosen, noise = chosen.to(self.means.device), noise.to(self.means.device)
        return self.means[chosen] + temperature * self.variances[chosen].sqrt() * noise


class Gmvae(nn.Module):
    """Encoder head, mixture prior and decoder; and the image encoder where that learns too."""

    def __init__(
        self,
        *,
        features: int,
        dim_z: int,
        components: int,
        transition: bool,
        decoder: str,
        findings: int = 0,
        encoder: ImageEncoder | None = None,
    ) -> None:
        """Build the networks, with first weights from torch's global generator.

        Args:
            features: Number of the image encoder's feature maps F.
            dim_z: Dimension of the latents Z.
            components: Number of the prior's Gaussians K.
            transition: Whether a transition net stands between features and latents (section 4);
                without it the features are flattened.
            decoder: See `build_decoder`.
            findings: Number of findings C that encoder and decoder are told of, as the FS-GMVAE is.
            encoder: The image encoder, to be trained with the rest ('Encoder in Train', Table 5).
                `None` takes features computed beforehand ('Encoder in Eval').
        """
        super().__init__()
        self.encoder = encoder
        self.transition = _transition_net(features) if transition else nn.Flatten()
        width = TRANSITION_CHANNELS if transition else features * FEATURE_SIZE**2
        self.mean = nn.Linear(width + findings, dim_z)
        self.raw_variance = nn.Linear(width + findings, dim_z)
        self.prior = MixturePrior(components, dim_z)
        self.decoder = build_decoder(decoder, dim_z + findings)

    def encode(self, inputs: Tensor, findings: Tensor) -> tuple[Tensor, Tensor]:
        """Find the posterior q(z|x, y), a diagonal Gaussian.

        Args:
            inputs: Features (B, F, 7, 7); with an image encoder, images (B, 1, 224, 224) in [0, 1].
            findings: (B, C), 1 where an image has the finding; C is 0 where it is told of none.

        Returns:
            Mean and variance, (B, Z) float32 each, the variance above 0.
        """
        features = inputs if self.encoder is None else self.encoder(inputs)
        hidden = torch.cat([self.transition(features), findings], dim=1)
        return self.mean(hidden).float(), _variance(self.raw_variance(hidden))

    def decode(self, latents: Tensor, findings: Tensor) -> Tensor:
        """Turn latents into images.

        Args:
            latents: (B, Z).
            findings: (B, C), as for `encode`.

        Returns:
            (B, 3, 224, 224), the logits of colours in [0, 1].
        """
        logits: Tensor = self.decoder(torch.cat([latents, findings], dim=1))
        return logits

    def forward(
        self, inputs: Tensor, findings: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode, draw one point of each posterior, decode.

        Args:
            inputs: As for `encode`.
            findings: As for `encode`.
            noise: (B, Z), standard normal.

        Returns:
            Logits (B, 3, 224, 224), and latents, mean and variance, (B, Z) float32 each.
        """
        mean, variance = self.encode(inputs, findings)
        latents = mean + variance.sqrt() * noise
        return self.decode(latents, findings), latents, mean, variance


def draw_images(gmvae: Gmvae, latents: Tensor, findings: Tensor) -> Tensor:
    """Turn latents into grey images with the statistics learnt in training.

    Args:
        gmvae: The model, on any device; left in the mode it was in.
        latents: (N, Z), as `MixturePrior.draw` gives them.
        findings: (N, C), as for `Gmvae.encode`.

    Returns:
        (N, 1, 224, 224) float32 in [0, 1], the mean of the three colours, on the model's device.
    """
    with in_evaluation(gmvae) as device:
        logits = gmvae.decode(latents.to(device), findings.to(device))
    return logits.float().sigmoid().mean(dim=1, keepdim=True)


def _transition_net(features: int) -> nn.Sequential:
    """Feature maps to 300 numbers (section 4; its linear layer is `Gmvae.mean`)."""
    return nn.Sequential(
        nn.Conv2d(features, TRANSITION_CHANNELS, 1),  # (B, 300, 7, 7)
        nn.BatchNorm2d(TRANSITION_CHANNELS),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(FEATURE_SIZE),  # (B, 300, 1, 1)
        nn.Flatten(),
    )


def _variance(raw: Tensor) -> Tensor:
    """Make numbers positive, in float32: half floats would lose the smallest variance."""
    return softplus(raw.float()) + SMALLEST_VARIANCE
