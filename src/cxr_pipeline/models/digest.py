"""What tells two sets of weights apart."""

import hashlib
from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of the weights as the safetensors file that holds them, on whatever device."""
    tensors = {key: tensor.cpu().contiguous() for key, tensor in weights.items()}
    return hashlib.sha256(save(tensors)).hexdigest()
