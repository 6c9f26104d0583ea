"""The GMVAE's image encoders: the convolutions of two classifiers (the paper's Table 4)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torchvision.models import densenet121, vgg16

from cxr_pipeline.models.image_door import ImageDoor

IMAGE_SIZE = 224
"""Side of the images, in pixels: five halvings take it to 7."""

FEATURE_SIZE = 7
"""Side of the feature maps."""

FEATURES = {"vgg16": 512, "densenet121": 1024}
"""Each encoder's number of feature maps."""


class ImageEncoder(nn.Module):
    """Grey images to feature maps: torchvision's VGG16 or DenseNet121 without the classifier."""

    def __init__(self, name: str, *, normalise: bool) -> None:
        """Build the encoder, with first weights from torch's global generator.

        Args:
            name: `vgg16` or `densenet121`.
            normalise: Whether images are normalised by ImageNet's mean and standard deviation,
                Table 4's 'Normalize Block'.

        Raises:
            ValueError: If there is no such encoder.
        """
        super().__init__()
        if name not in FEATURES:
            raise ValueError(f"encoder={name!r} is unknown: set it to {' or '.join(FEATURES)}")
        self.name = name
        self.door = ImageDoor(3, normalise=normalise)
        self.features = _vgg16_features() if name == "vgg16" else densenet121().features

    def forward(self, images: Tensor) -> Tensor:
        """Look at images.

        Args:
            images: (B, 1, 224, 224) in [0, 1].

        Returns:
            (B, F, 7, 7), F as `FEATURES` has it; at least 0.
        """
        # DenseNet's classifier begins with this ReLU; VGG16 has had its own and is not changed.
        return relu(self.features(self.door(images)))


def _vgg16_features() -> nn.Module:
    """VGG16's convolutions with torchvision's first weights.

    Its classifier has nine tenths of its weights: on the meta device they are not drawn in vain.
    """
    device = torch.get_default_device()
    with torch.device("meta"):
        features: nn.Module = vgg16().features
    features.to_empty(device=device)
    for layer in features.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return features
