import hashlib

import torch
from safetensors.torch import save_file

from cxr_pipeline.models.digest import weights_digest

WEIGHTS = {"b": torch.arange(48.0).view(2, 3, 4, 2), "a": torch.tensor(3)}


def test_it_is_that_of_the_file_that_holds_them(tmp_path):
    save_file(WEIGHTS, tmp_path / "weights.safetensors")
    content = (tmp_path / "weights.safetensors").read_bytes()
    assert weights_digest(WEIGHTS) == hashlib.sha256(content).hexdigest()


def test_neither_order_nor_layout_in_memory_changes_it():
    other = {"a": WEIGHTS["a"], "b": WEIGHTS["b"].to(memory_format=torch.channels_last)}
    assert not other["b"].is_contiguous()
    assert weights_digest(other) == weights_digest(WEIGHTS)


def test_a_number_a_name_and_a_type_change_it():
    digests = {
        weights_digest(WEIGHTS),
        weights_digest({**WEIGHTS, "a": torch.tensor(4)}),
        weights_digest({"b": WEIGHTS["b"], "c": WEIGHTS["a"]}),
        weights_digest({**WEIGHTS, "a": torch.tensor(3, dtype=torch.int32)}),
    }
    assert len(digests) == 4
