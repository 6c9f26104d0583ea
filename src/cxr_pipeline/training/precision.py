"""Which device and which floating-point numbers to train with."""

from typing import Any, Literal

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision

from cxr_pipeline.training.distributed import fabric_options

FixedPrecision = Literal["32-true", "bf16-mixed", "16-mixed"]
Precision = Literal["auto"] | FixedPrecision
Accelerator = Literal["auto", "cpu", "cuda", "mps"]


def choose_accelerator(accelerator: Accelerator) -> Literal["cpu", "cuda", "mps"]:
    """Resolve `auto` to the fastest there is.

    Raises:
        ValueError: If the accelerator is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if accelerator == "auto":
        return "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    if not there.get(accelerator, True):
        raise ValueError(f"accelerator={accelerator} is not there: set it to auto or cpu")
    return accelerator


def choose_precision(precision: Precision, accelerator: Accelerator) -> FixedPrecision:
    """Resolve `auto` to what the device computes natively.

    bf16 on GPUs from Ampere on and on CPUs with bf16 instructions, fp16 with loss scaling on older
    GPUs (such as the paper's T4), fp32 elsewhere.

    Raises:
        ValueError: If the accelerator is not there, or cannot compute in the precision asked for.
    """
    accelerator = choose_accelerator(accelerator)
    if precision == "16-mixed" and accelerator != "cuda":
        raise ValueError(f"precision=16-mixed needs a CUDA GPU, not {accelerator}: set it to auto")
    if precision != "auto":
        return precision
    if accelerator == "cuda":
        return "bf16-mixed" if torch.cuda.get_device_capability() >= (8, 0) else "16-mixed"
    native = (
        accelerator == "cpu"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    return "bf16-mixed" if native else "32-true"


def build_fabric(accelerator: Accelerator, precision: FixedPrecision) -> Fabric:
    """Set up a device to compute in a precision, alone or as one of several processes."""
    numbers: dict[str, Any] = {"precision": precision}
    if precision == "16-mixed" and accelerator == "cpu":
        # By itself Fabric would take bf16 instead. Only tests go this way: it is slow.
        numbers = {"plugins": MixedPrecision("16-mixed", "cpu")}
    fabric = Fabric(accelerator=accelerator, **fabric_options(), **numbers)
    fabric.launch()
    return fabric
