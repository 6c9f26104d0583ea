"""The door of networks that expect ImageNet's pictures: channels and scale (the paper's section 4).

It belongs to the network and not to the image store, which stays grey and as it was read: the same
store serves networks that want their images otherwise.
"""

from typing import Literal

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of red, green and blue in [0, 1]."""


class ImageDoor(nn.Module):
    """Grey images in [0, 1] as a network wants them; nothing is learnt here, or saved."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: Literal[1, 3], *, normalise: bool) -> None:
        """Choose what comes out.

        Args:
            channels: 1 leaves the images grey; 3 repeats the grey as red, green and blue.
            normalise: Whether to subtract ImageNet's mean and divide by its standard deviation.

        Raises:
            ValueError: If one channel is to be normalised: ImageNet's numbers are for three.
        """
        super().__init__()
        if normalise and channels == 1:
            raise ValueError(
                "channels=1: ImageNet's mean and std are for 3: set channels=3 or normalise=false"
            )
        self.channels = channels
        self.normalise = normalise
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            # Not persistent: weights files and parameter counts stay as they are without the door.
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Let images in.

        Args:
            images: (B, 1, H, W) in [0, 1].

        Returns:
            (B, C, H, W); in [0, 1], or with mean 0 and standard deviation 1 over ImageNet.
        """
        if self.channels == 3:
            images = torch.cat([images] * 3, dim=1)  # `repeat` would not keep channels_last
        return (images - self.mean) / self.std if self.normalise else images
