"""The variational autoencoder (the paper's section 3.1 and Fig. 4), for 128 x 128 grey images.

Fig. 4 prints two convolutions in one block of the encoder; Table 5's 4,711,648 parameters need two
in each. The figure's last two BatchNorm2D (256) are misprints for 64 and 32.
"""

import torch
from torch import Tensor, nn

IMAGE_SIZE = 128
"""Side of the images, in pixels: five halvings take it to 4."""

CHANNELS = (32, 64, 128, 256, 512)
CODE_SIDE = 4
CODE = CHANNELS[-1] * CODE_SIDE**2
"""Numbers that the encoder makes of an image: 8,192."""


MOMENTUM = 0.1
"""The latest batch's share in `Centre`'s running mean, as in BatchNorm."""


class Centre(nn.Module):
    """Take the mean over the batch away: BatchNorm without its scale (Salimans and Kingma, 2016).

    Beyond the paper, and without a parameter. In the first steps the quickest way down for the
    error is one offset common to all latents, which the decoder turns into the average chest. The
    prior knows nothing of that offset, so that draws from it are fog until the decoder's biases
    have taken its place, which takes thousands of steps. Centred, latents cannot hold it.
    """

    running: Tensor
    batches: Tensor

    def __init__(self, dim_z: int) -> None:
        super().__init__()
        self.register_buffer("running", torch.zeros(dim_z))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, means: Tensor) -> Tensor:
        """Centre posterior means, (B, Z): on the batch in training, else on the running mean."""
        means = means.float()
        if not self.training:
            return means - self.running
        average = self.batch_mean(means)
        with torch.no_grad():
            self.batches += 1
            # At first the mean of all batches so far: no first value that has to be forgotten.
            share = (1 / self.batches).clamp(min=MOMENTUM)
            self.running += share * (average - self.running)
        return means - average

    def batch_mean(self, means: Tensor) -> Tensor:
        """Average over the batch, (B, Z) to (Z,); those who share a batch do so over all of it."""
        return means.mean(dim=0)


class Vae(nn.Module):
    """Image to a Gaussian over latents, and latents back to an image."""

    def __init__(self, dim_z: int = 1024, *, centre: bool = False) -> None:
        """Build the network.

        Args:
            dim_z: Latent dimension Z.
            centre: Whether to centre the posterior means; see `Centre`.
        """
        super().__init__()
        self.dim_z = dim_z
        self.encoder = nn.Sequential(
            *_block(1, 32),  # (B, 32, 64, 64)
            *_block(32, 64),  # (B, 64, 32, 32)
            *_block(64, 128),  # (B, 128, 16, 16)
            *_block(128, 256),  # (B, 256, 8, 8)
            *_block(256, 512),  # (B, 512, 4, 4)
            nn.Flatten(),
        )
        self.mean = nn.Linear(CODE, dim_z)
        self.logvar = nn.Linear(CODE, dim_z)
        self.centre = Centre(dim_z) if centre else nn.Identity()
        self.decoder = nn.Sequential(
            nn.Linear(dim_z, CODE),
            nn.Unflatten(1, (CHANNELS[-1], CODE_SIDE, CODE_SIDE)),  # (B, 512, 4, 4)
            *_doubling(512, 256),  # (B, 256, 8, 8)
            *_doubling(256, 128),  # (B, 128, 16, 16)
            *_doubling(128, 64),  # (B, 64, 32, 32)
            *_doubling(64, 32),  # (B, 32, 64, 64)
            nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1),  # (B, 1, 128, 128)
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Describe q(z|x).

        Args:
            images: (B, 1, 128, 128) in [0, 1].

        Returns:
            Its mean and the logarithm of its variance, (B, Z) each.
        """
        code = self.encoder(images)
        return self.centre(self.mean(code)), self.logvar(code)

    def decode(self, latents: Tensor) -> Tensor:
        """Draw the mean of p(x|z).

        Args:
            latents: (B, Z).

        Returns:
            (B, 1, 128, 128) in [0, 1].
        """
        images: Tensor = self.decoder(latents)
        return images.float().sigmoid()  # half floats round to 0 and 1 too early

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw latents by the reparameterisation trick, and decode.

        Args:
            images: (B, 1, 128, 128) in [0, 1].
            noise: (B, Z), standard normal.

        Returns:
            The images drawn, (B, 1, 128, 128) in [0, 1], and q(z|x)'s mean and log variance.
        """
        mean, logvar = self.encode(images)
        return self.decode(mean + (logvar / 2).exp() * noise), mean, logvar


def _block(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(channels_out, channels_out, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.MaxPool2d(2),
    ]


def _doubling(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    ]
