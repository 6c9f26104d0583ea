import logging

import torch
from tests.training.tasks import LineTask, gan_task, points, with_noise

from cxr_pipeline.training.networks import check_compiling, compile_gain, set_up
from cxr_pipeline.training.precision import build_fabric


def test_convolutions_are_laid_out_with_channels_last():
    task = gan_task()
    networks = dict(task.modules)
    set_up(build_fabric("cpu", "32-true"), task)
    for network in networks.values():
        for weights in network.parameters():
            if weights.ndim == 4:
                assert weights.is_contiguous(memory_format=torch.channels_last)


def test_a_compiled_network_is_the_same_network():
    task = LineTask()
    network = task.modules["line"]
    set_up(build_fabric("cpu", "32-true"), task, True)
    batch = torch.arange(4.0)[:, None]
    assert torch.allclose(task.modules["line"](batch), network(batch))
    assert task.modules["line"].state_dict().keys() == network.state_dict().keys()


def test_the_gain_is_told_and_nothing_is_learnt_from_finding_out(caplog):
    caplog.set_level(logging.INFO)
    task = LineTask()
    before = task.modules["line"].weight.detach().clone()
    state = torch.random.get_rng_state()
    gain = compile_gain(LineTask, with_noise(task, points(4)), True, "cpu", "32-true")
    assert 0 < gain < 100
    assert "torch.compile makes steps" in caplog.text
    assert torch.equal(task.modules["line"].weight, before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_cuda_graphs_are_refused_without_cuda(one_line_error):
    message = one_line_error(check_compiling, "cuda_graphs", "cpu")
    assert message == "compile=cuda_graphs needs a CUDA GPU, not cpu: set compile=true"
    check_compiling("cuda_graphs", "cuda")
    check_compiling(True, "cpu")


def test_networks_that_cannot_be_compiled_are_an_error_with_a_remedy(one_line_error):
    class Uncompilable(LineTask):
        def __init__(self):
            super().__init__()

            def refuse(*_):
                torch._dynamo.graph_break()
                raise torch._dynamo.exc.Unsupported("no compiler")

            self.modules["line"].register_forward_pre_hook(refuse)

    message = one_line_error(
        compile_gain, Uncompilable, with_noise(LineTask(), points(4)), True, "cpu", "32-true"
    )
    assert "no compiler" in message
    assert "set compile=false" in message
