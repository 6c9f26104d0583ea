"""The plain ways that the project's own are measured against, as a textbook writes them.

    python benchmarks/reference.py CASE

takes a training step for each line it reads, and prints the seconds each took.
"""

import math
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from cases import BATCH, random_examples
from PIL import Image, ImageOps
from timing import seconds_of
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import functional as transforms

from cxr_pipeline.models.encoders import ImageEncoder
from cxr_pipeline.models.gmvae import Gmvae
from cxr_pipeline.models.lsgan import Discriminator, Generator
from cxr_pipeline.models.vae import Vae
from cxr_pipeline.training.memory import HUGE_PAGES
from cxr_pipeline.training.task import Examples


def gan_step(batch: Examples) -> Callable[[], None]:
    """One discriminator and three generator steps."""
    generator, discriminator = with_torch_layers(Generator()), with_torch_layers(Discriminator())
    learn_g, learn_d = (
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for network in (generator, discriminator)
    )

    def step() -> None:
        real = batch["pixels"].float() / 127.5 - 1
        fake = generator(torch.rand(len(real), 100) * 2 - 1).detach()
        loss = ((discriminator(real) - 1) ** 2).mean() / 2 + (discriminator(fake) ** 2).mean() / 2
        learn_d.zero_grad()
        loss.backward()
        learn_d.step()
        losses = [loss.item()]
        for _ in range(3):
            fake = generator(torch.rand(len(real), 100) * 2 - 1)
            loss = ((discriminator(fake) - 1) ** 2).mean() / 2
            learn_g.zero_grad()
            loss.backward()
            learn_g.step()
            losses.append(loss.item())

    return step


def with_torch_layers(network: nn.Module) -> nn.Module:
    """Let convolutions compute as torch's own do, also where the project has its own way."""
    for layer in network.modules():
        for plain in (nn.Conv2d, nn.ConvTranspose2d):
            if isinstance(layer, plain):
                layer.forward = partial(plain.forward, layer)
    return network


def vae_step(batch: Examples) -> Callable[[], None]:
    """One step down the negative ELBO."""
    vae = Vae(1024, centre=True)
    learn = torch.optim.Adam(vae.parameters(), lr=1e-4)

    def step() -> None:
        images = batch["pixels"].float() / 255
        drawn, mean, logvar = vae(images, torch.randn(len(images), 1024))
        error = functional.mse_loss(drawn, images, reduction="sum")
        kl = -0.5 * (1 + logvar - mean**2 - logvar.exp()).sum()
        loss = (error + kl) / len(images)
        learn.zero_grad()
        loss.backward()
        learn.step()
        loss.item()

    return step


def gmvae_step(batch: Examples) -> Callable[[], None]:
    """One step of version 8 down the negative ELBO; without features the encoder learns too."""
    encoder = None if "features" in batch else ImageEncoder("vgg16", normalise=True)
    gmvae = Gmvae(
        features=512, dim_z=2000, components=300, transition=True, decoder="2", encoder=encoder
    )
    learn = torch.optim.Adam(gmvae.parameters(), lr=1e-4)

    def step() -> None:
        images = batch["pixels"].float() / 255
        inputs = batch["features"].float() if encoder is None else images
        noise = torch.randn(len(images), 2000)
        logits, latents, mean, variance = gmvae(inputs, batch["findings"], noise)
        error = functional.mse_loss(logits.sigmoid(), images.expand(-1, 3, -1, -1), reduction="sum")
        components = log_normal(latents[:, None], gmvae.prior.means, gmvae.prior.variances)
        log_prior = components.logsumexp(dim=1) - math.log(300)  # (B,)
        kl = (log_normal(latents, mean, variance) - log_prior).sum()
        loss = (error + kl) / len(images)
        learn.zero_grad()
        loss.backward()
        learn.step()
        loss.item()

    return step


def log_normal(values: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """The log density of diagonal Gaussians, over the last dimension."""
    terms = (values - mean) ** 2 / variance + variance.log() + math.log(2 * math.pi)
    return -0.5 * terms.sum(dim=-1)


STEPS = {
    "gan": gan_step,
    "vae": vae_step,
    "gmvae v8, frozen": gmvae_step,
    "gmvae v8, fine-tuned": gmvae_step,
}
"""Training as a textbook writes it: fp32, contiguous, all gradients, every loss read at once.

By the names of `cases.CASES`; given a batch, each returns what takes a step.
"""


@contextmanager
def textbook(case: str) -> Iterator[Callable[[], float]]:
    """Start a textbook's training, in a process of its own: the engine sets up the one it is in.

    Nothing is asked of the kernel in it (`training/memory.py`).

    Yields:
        What takes a step and says how many seconds it took.
    """
    plain = {name: value for name, value in os.environ.items() if name != HUGE_PAGES}
    with subprocess.Popen(
        [sys.executable, __file__, case],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=plain,
    ) as process:
        assert process.stdin
        assert process.stdout

        def step() -> float:
            process.stdin.write("\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        yield step
        process.stdin.close()


def transform(path: Path, size: int) -> Image.Image:
    """The authors' transform: torchvision and Pillow."""
    with Image.open(path) as image:
        resized = transforms.resize(image.convert("L"), size)
        return ImageOps.equalize(transforms.center_crop(resized, size))


def compressed_pixels(path: Path) -> bytes:
    """The contents of a PNG's IDAT chunks: what every decoder has to inflate."""
    png, start, parts = path.read_bytes(), 8, []
    while start < len(png):
        length, kind = struct.unpack_from(">I4s", png, start)
        if kind == b"IDAT":
            parts.append(png[start + 8 : start + 8 + length])
        start += 12 + length
    return b"".join(parts)


def main() -> None:
    """Take a step for each line."""
    case = sys.argv[1]
    step = STEPS[case](random_examples(case, BATCH))
    for _ in sys.stdin:
        print(seconds_of(step), flush=True)


if __name__ == "__main__":
    main()
