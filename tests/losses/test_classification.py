import math

import pytest
import torch

from cxr_pipeline.losses.classification import findings_cross_entropy


def test_it_is_the_equation_worked_out_by_hand():
    logits = torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0]])  # sigmoids 1/2 and 3/4
    findings = torch.tensor([[1.0, 0.0], [0.25, 1.0]])
    soft = -(0.25 * math.log(0.75) + 0.75 * math.log(0.25))
    expected = [(math.log(2) + math.log(4)) / 2, (soft + math.log(2)) / 2]
    assert findings_cross_entropy(logits, findings).tolist() == pytest.approx(expected)


def test_positive_weights_weigh_findings_that_are_there_alone():
    logits, findings = torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    weighed = findings_cross_entropy(logits, findings, torch.tensor([3.0, 1.0]))
    assert weighed.tolist() == pytest.approx([2 * math.log(2), math.log(2)])


def test_half_floats_are_left_behind():
    logits = torch.zeros(1, 2, dtype=torch.bfloat16)
    assert findings_cross_entropy(logits, torch.zeros(1, 2)).dtype == torch.float32
