"""How far predicted findings are from those that an image shows."""

from torch import Tensor
from torch.nn import functional

from cxr_pipeline.losses.precision import at_least_float32


def findings_cross_entropy(
    logits: Tensor, findings: Tensor, positive_weights: Tensor | None = None
) -> Tensor:
    """The binary cross-entropy, averaged over an image's findings, each of which stands for itself.

        -1/C sum_c (w_c y_c log(s(l_c)) + (1 - y_c) log(1 - s(l_c))), s the sigmoid

    Args:
        logits: l, (B, C).
        findings: y in [0, 1], (B, C); between them where a finding is not sure.
        positive_weights: w, (C,): how much a finding that is there weighs against one that is not,
            so that rare ones are heard. 1 where not given.

    Returns:
        (B,) in nats, at least 0; float32 (or float64, if the inputs are).
    """
    assert logits.shape == findings.shape, (logits.shape, findings.shape)
    entropies = functional.binary_cross_entropy_with_logits(
        at_least_float32(logits),
        at_least_float32(findings),
        pos_weight=positive_weights,
        reduction="none",
    )
    return entropies.mean(dim=1)
