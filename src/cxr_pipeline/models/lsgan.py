"""The LSGAN's generator and discriminator (the paper's Fig. 7), for 128 x 128 grey images.

No convolution has a bias. The paper counts 3,606,976 parameters in the generator and 2,795,904 in
the discriminator (Table 5); both hold at the noise dimension of 100.

Both can be told the findings to draw, which is not in the paper: a multi-hot y of C findings is put
beside the generator's noise (Mirza and Osindero, arXiv:1411.1784), and the discriminator adds a
projection of its features on y (Miyato and Koyama, arXiv:1802.05637, section 3).
"""

import torch
from torch import Tensor, nn

from cxr_pipeline.models.halving import Doubling, Halving, Opening
from cxr_pipeline.models.modes import in_evaluation

IMAGE_SIZE = 128
"""Side of the images, in pixels: five halvings take it to 4."""

LAST_LAYER_STD = 0.1
"""Standard deviation of the generator's last layer at the start, one number a 4 x 4 kernel.

It gives the first images about the contrast of equalised X-rays. The discriminator cannot teach
that: without biases, and with batch norm over drawn images alone, its scores hardly depend on their
scale. From DCGAN's 0.02 the images begin nearly grey, each step of Adam turns their pattern round,
and some seeds never recover. Kernels begin flat since grain in them takes hundreds of steps to go.
"""


class Generator(nn.Module):
    """Noise to image: five transposed convolutions that double, after one that opens 4 x 4."""

    def __init__(self, dim_z: int = 100, findings: int = 0) -> None:
        """Choose the inputs.

        Args:
            dim_z: Noise dimension Z.
            findings: Number of findings C that images are drawn for; 0 draws for none.
        """
        super().__init__()
        self.dim_z = dim_z
        self.findings = findings
        first = Opening(dim_z + findings, 512)
        self.layers = nn.Sequential(
            first,  # (B, 512, 4, 4)
            nn.BatchNorm2d(512),
            nn.ReLU(inplace=True),
            *_doubling(512, 256),  # (B, 256, 8, 8)
            *_doubling(256, 128),  # (B, 128, 16, 16)
            *_doubling(128, 64),  # (B, 64, 32, 32)
            *_doubling(64, 32),  # (B, 32, 64, 64)
            last := Doubling(32, 1),
            nn.Tanh(),  # (B, 1, 128, 128)
        )
        initialise(self)
        levels = LAST_LAYER_STD * torch.randn(32, 1, 1, 1)
        with torch.no_grad():
            # Around zero: ReLU's outputs are positive, and a common level would saturate the tanh.
            last.weight.copy_((levels - levels.mean()).expand(32, 1, 4, 4))
            # A finding moves the first features as far as all the noise does, whose Z numbers have
            # a variance of 1/3 each; else it would drown. Batch norm keeps the images' contrast.
            first.weight[dim_z:] *= (dim_z / 3) ** 0.5

    def forward(self, noise: Tensor, findings: Tensor | None = None) -> Tensor:
        """Draw images.

        Args:
            noise: (B, Z), uniform on [-1, 1).
            findings: y, (B, C) float, multi-hot; None or (B, 0) where the network has none.

        Returns:
            (B, 1, 128, 128) in [-1, 1].

        Raises:
            ValueError: If the findings are missing, uncalled-for or of another shape.
        """
        _check_findings(findings, len(noise), self.findings)
        inputs = noise if findings is None else torch.cat([noise, findings], dim=1)
        images: Tensor = self.layers(inputs[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """Image to realness scores, 1 for real and 0 for drawn."""

    def __init__(self, *, patch_scores: bool = True, findings: int = 0) -> None:
        """Choose the last layer and the inputs.

        Args:
            patch_scores: Score four quarters of the image, as Fig. 7 has it (K=4, S=2, P=1), or
                the whole once, as the authors' code does (K=4, S=1, P=0). Equal in parameters.
            findings: Number of findings C that images are scored for; 0 scores for none.
        """
        super().__init__()
        self.findings = findings
        stride, padding = (2, 1) if patch_scores else (1, 0)
        self.layers = nn.Sequential(
            Halving(1, 32),  # (B, 32, 64, 64)
            nn.LeakyReLU(0.2, inplace=True),
            *_halving(32, 64),  # (B, 64, 32, 32)
            *_halving(64, 128),  # (B, 128, 16, 16)
            *_halving(128, 256),  # (B, 256, 8, 8)
            *_halving(256, 512),  # (B, 512, 4, 4)
            nn.Conv2d(512, 1, 4, stride=stride, padding=padding, bias=False),
        )
        initialise(self)
        if findings:
            self.embedding = nn.Linear(findings, 512, bias=False)
            nn.init.normal_(self.embedding.weight, 0.0, 0.02)

    def forward(self, images: Tensor, findings: Tensor | None = None) -> Tensor:
        """Score images.

        With findings y, each score gains <e(y), the mean over positions of the last features>.

        Args:
            images: (B, 1, 128, 128) in [-1, 1].
            findings: y, (B, C) float, multi-hot; None or (B, 0) where the network has none.

        Returns:
            (B, 1, 2, 2), or (B, 1, 1, 1) without `patch_scores`; unbounded.

        Raises:
            ValueError: If the findings are missing, uncalled-for or of another shape.
        """
        _check_findings(findings, len(images), self.findings)
        features: Tensor = self.layers[:-1](images)  # (B, 512, 4, 4)
        scores: Tensor = self.layers[-1](features)
        if findings is None or not self.findings:
            return scores
        embedded: Tensor = self.embedding(findings)  # (B, 512)
        agreement = (embedded * features.mean(dim=(2, 3))).sum(dim=1)  # (B,)
        return scores + agreement[:, None, None, None]


def initialise(network: nn.Module) -> None:
    """Draw a network's first weights as DCGAN does (Radford et al., arXiv:1511.06434, section 3).

    Convolutions from N(0, 0.02), BatchNorm's scales from N(1, 0.02). The paper does not say how it
    began.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)


def draw_noise(count: int, dim_z: int, generator: torch.Generator) -> Tensor:
    """Draw the generator's input: (B, Z), uniform on [-1, 1), on the CPU."""
    return torch.rand(count, dim_z, generator=generator) * 2 - 1


def draw_images(generator: nn.Module, noise: Tensor, findings: Tensor | None = None) -> Tensor:
    """Turn noise into images with the statistics learnt in training.

    Args:
        generator: A `Generator`, on any device; left in the mode it was in.
        noise: (B, Z).
        findings: See `Generator.forward`.

    Returns:
        (B, 1, 128, 128) float32 in [0, 1], on the generator's device.
    """
    with in_evaluation(generator) as device:
        asked = None if findings is None else findings.to(device)
        images: Tensor = generator(noise.to(device), asked)
    return (images.float() + 1) / 2


def _check_findings(findings: Tensor | None, images: int, expected: int) -> None:
    given = None if findings is None else tuple(findings.shape)
    if expected and given != (images, expected):
        raise ValueError(
            f"findings={given}: this network was built with findings={expected}: "
            f"give it a multi-hot tensor of shape {(images, expected)}"
        )
    if not expected and given not in {None, (images, 0)}:
        raise ValueError(
            f"findings={given}: this network was built without findings: "
            "give it none, or build it with findings=C"
        )


def _doubling(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        Doubling(channels_in, channels_out),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    ]


def _halving(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        Halving(channels_in, channels_out),
        nn.BatchNorm2d(channels_out),
        nn.LeakyReLU(0.2, inplace=True),
    ]
