"""Which device and which floating-point numbers to train with."""

from typing import Literal

import torch

FixedPrecision = Literal["32-true", "bf16-mixed", "16-mixed"]
Precision = Literal["auto"] | FixedPrecision
Accelerator = Literal["auto", "cpu", "cuda", "mps"]


def choose_precision(precision: Precision, accelerator: Accelerator) -> FixedPrecision:
    """Resolve `auto` to what the device computes natively.

    bf16 on GPUs from Ampere on and on CPUs with bf16 instructions, fp16 with loss scaling on older
    GPUs (such as the paper's T4), fp32 elsewhere.
    """
    if precision != "auto":
        return precision
    if accelerator in ("auto", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.get_device_capability() >= (8, 0) else "16-mixed"
    if accelerator in ("auto", "cpu") and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "bf16-mixed"
    return "32-true"
