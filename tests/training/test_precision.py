import pytest
import torch

from cxr_pipeline.training.precision import choose_precision


def test_what_is_asked_for_is_taken():
    assert choose_precision("32-true", "cpu") == "32-true"
    assert choose_precision("bf16-mixed", "cpu") == "bf16-mixed"


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_processor_is_used_for_what_it_computes_natively(monkeypatch, native, chosen):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    assert choose_precision("auto", "cpu") == chosen


@pytest.mark.parametrize(
    ("capability", "chosen"), [((9, 0), "bf16-mixed"), ((8, 0), "bf16-mixed"), ((7, 5), "16-mixed")]
)
def test_a_gpu_is_used_for_what_it_computes_natively(monkeypatch, capability, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert choose_precision("auto", "auto") == chosen


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="accelerator=cuda is not there: set it to auto or cpu"):
        choose_precision("auto", "cuda")


def test_sixteen_bits_without_a_gpu_are_refused():
    with pytest.raises(ValueError, match="needs a CUDA GPU, not cpu"):
        choose_precision("16-mixed", "cpu")
