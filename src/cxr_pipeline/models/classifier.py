"""A classifier of findings: which of them a chest X-ray shows, each for itself."""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu
from torchvision.models import densenet121, resnet18
from torchvision.models.resnet import BasicBlock

NETWORKS = ("small", "resnet18", "densenet121")

WIDTHS = (16, 32, 64, 128)
"""Feature maps of the small network's blocks."""

MEAN, STD = 0.5, 0.25
"""About those of equalised images in [0, 1]."""


class Classifier(nn.Module):
    """Grey images to a logit for each finding, by way of features."""

    def __init__(self, network: str, findings: int) -> None:
        """Build the classifier, with first weights from torch's global generator.

        Args:
            network: `small`, a ResNet of 0.3 million parameters for little data and CPUs, or
                torchvision's `resnet18` or `densenet121` with one channel.
            findings: How many findings, C.

        Raises:
            ValueError: If there is no such network.
        """
        super().__init__()
        if network not in NETWORKS:
            raise ValueError(f"network={network!r} is unknown: set it to {', '.join(NETWORKS)}")
        self.body, self.dimensions = _BODIES[network]()
        """`dimensions` is the number of features, F."""
        self.head = nn.Linear(self.dimensions, findings)

    def features(self, images: Tensor) -> Tensor:
        """Describe images by what the logits are linear in.

        Args:
            images: (B, 1, S, S) in [0, 1].

        Returns:
            (B, F), at least 0.
        """
        maps = relu(self.body((images - MEAN) / STD))  # (B, F, s, s)
        return adaptive_avg_pool2d(maps, 1).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Look for findings.

        Args:
            images: (B, 1, S, S) in [0, 1].

        Returns:
            (B, C) logits, whose sigmoids are the findings' probabilities.
        """
        logits: Tensor = self.head(self.features(images))
        return logits


def _small() -> tuple[nn.Module, int]:
    layers: list[nn.Module] = [
        nn.Conv2d(1, WIDTHS[0], 3, stride=2, padding=1, bias=False),  # (B, 16, S/2, S/2)
        nn.BatchNorm2d(WIDTHS[0]),
        nn.ReLU(inplace=True),
    ]
    before = WIDTHS[0]
    for width in WIDTHS:
        layers.append(_block(before, width))
        before = width
    return nn.Sequential(*layers), before  # (B, 128, S/16, S/16)


def _block(before: int, width: int) -> nn.Module:
    block: nn.Module
    if before == width:
        block = BasicBlock(before, width)
        return block
    shortcut = nn.Sequential(
        nn.Conv2d(before, width, 1, stride=2, bias=False), nn.BatchNorm2d(width)
    )
    block = BasicBlock(before, width, stride=2, downsample=shortcut)
    return block


def _resnet18() -> tuple[nn.Module, int]:
    network: Any = resnet18()
    network.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    # Its own first weights' rule, see torchvision's.
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(*list(network.children())[:-2]), network.fc.in_features


def _densenet121() -> tuple[nn.Module, int]:
    network: Any = densenet121()
    network.features.conv0 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(network.features.conv0.weight)
    return network.features, network.classifier.in_features


_BODIES = {"small": _small, "resnet18": _resnet18, "densenet121": _densenet121}
