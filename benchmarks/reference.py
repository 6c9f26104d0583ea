"""The plain ways that the project's own are measured against, as a textbook writes them."""

import struct
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import functional

from cxr_pipeline.models.lsgan import Discriminator, Generator


def lsgan_step() -> Callable[[Tensor], None]:
    """One discriminator and three generator steps: fp32, contiguous, all gradients."""
    generator, discriminator = Generator(), Discriminator()
    learn_g, learn_d = (
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for network in (generator, discriminator)
    )

    def step(pixels: Tensor) -> None:
        real = pixels.float() / 127.5 - 1
        fake = generator(torch.rand(len(real), 100) * 2 - 1).detach()
        loss = ((discriminator(real) - 1) ** 2 + discriminator(fake) ** 2).mean() / 2
        learn_d.zero_grad()
        loss.backward()
        learn_d.step()
        for _ in range(3):
            fake = generator(torch.rand(len(real), 100) * 2 - 1)
            loss = ((discriminator(fake) - 1) ** 2).mean() / 2
            learn_g.zero_grad()
            loss.backward()
            learn_g.step()

    return step


def transform(path: Path, size: int) -> Image.Image:
    """The authors' transform: torchvision and Pillow."""
    with Image.open(path) as image:
        resized = functional.resize(image.convert("L"), size)
        return ImageOps.equalize(functional.center_crop(resized, size))


def compressed_pixels(path: Path) -> bytes:
    """The contents of a PNG's IDAT chunks: what every decoder has to inflate."""
    png, start, parts = path.read_bytes(), 8, []
    while start < len(png):
        length, kind = struct.unpack_from(">I4s", png, start)
        if kind == b"IDAT":
            parts.append(png[start + 8 : start + 8 + length])
        start += 12 + length
    return b"".join(parts)
