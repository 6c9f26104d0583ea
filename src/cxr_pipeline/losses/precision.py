"""The number formats that losses are computed in, whatever the networks used."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Leave mixed precision behind: half floats cannot hold sums of many squares."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def to_float64(values: Tensor) -> Tensor:
    """Widen to float64: on the same device, or on the CPU where that is MPS, which has none."""
    # Moved before widened, so that the gradients are narrowed before they move back.
    return (values.cpu() if values.device.type == "mps" else values).double()


def from_float64(values: Tensor, *, like: Tensor) -> Tensor:
    """Undo `to_float64`: to the device of `like`, in float32 or, if `like` is, float64."""
    return values.to(torch.promote_types(like.dtype, torch.float32)).to(like.device)
