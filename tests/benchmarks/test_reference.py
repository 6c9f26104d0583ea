import sys
from pathlib import Path

import pytest
import torch

from cxr_pipeline.losses.mixture import monte_carlo_kl
from cxr_pipeline.models import halving
from cxr_pipeline.models.lsgan import Discriminator, Generator

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch):
    """The benchmarks import one another as scripts do: from their own folder."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) and Path(module.__file__).parent == BENCHMARKS:
            del sys.modules[name]


def test_the_textbooks_mixture_density_is_the_losses(benchmarks):
    import reference

    z, mean, variance = torch.randn(3, 7), torch.randn(3, 7), torch.rand(3, 7) + 0.1
    means, variances = torch.randn(5, 7), torch.rand(5, 7) + 0.1
    prior = reference.log_normal(z[:, None], means, variances).logsumexp(dim=1)
    kl = reference.log_normal(z, mean, variance) - prior + torch.tensor(5.0).log()
    torch.testing.assert_close(kl, monte_carlo_kl(z, mean, variance, means, variances))


@pytest.mark.parametrize("case", ["gan", "vae", "gmvae v8, frozen"])
def test_the_textbook_trains_the_network_that_the_engine_does(benchmarks, case, monkeypatch):
    import cases
    import reference

    learnt = []
    adam = torch.optim.Adam

    def noting(parameters, **options):
        learnt.extend(parameters := list(parameters))
        return adam(parameters, **options)

    monkeypatch.setattr(torch.optim, "Adam", noting)
    step = reference.STEPS[case](cases.random_examples(case, 2))
    monkeypatch.undo()
    before = [weights.detach().clone() for weights in learnt]
    step()
    assert not any(map(torch.equal, before, learnt))
    sizes = sorted(
        p.numel() for m in cases.build_task(case).modules.values() for p in m.parameters()
    )
    assert sorted(weights.numel() for weights in learnt) == sizes


def test_the_textbook_computes_as_torch_s_own_layers_do(benchmarks, monkeypatch):
    import reference

    def unwanted(*tensors):
        raise AssertionError("the project's own way")

    plain = reference.with_torch_layers(Generator())
    noise = torch.randn(2, 100)
    for name in ("_halve", "_double", "_weight_gradient"):
        monkeypatch.setattr(halving, name, unwanted)
    drawn = plain(noise)
    drawn.sum().backward()
    reference.with_torch_layers(Discriminator())(drawn.detach()).sum().backward()
    with pytest.raises(AssertionError, match="own way"):
        Generator()(noise)


def test_a_case_has_the_intervals_that_runs_have(benchmarks):
    import cases

    settings = cases.settings("gan", steps=1)
    assert (settings.log_every, settings.checkpoint_every) == (10, 100)
    assert cases.parameters("gmvae v8, frozen")["row"]["components"] == 300
