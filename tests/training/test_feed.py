import pytest
import torch
from tests.training.tasks import LineTask, points

from cxr_pipeline.data.batches import batch_positions
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training import feed as feeding
from cxr_pipeline.training.feed import Feed, place, prefetching

CPU = torch.device("cpu")


def feed(**changes):
    values = {"examples": points(10), "noise": LineTask().noise, "batch_size": 4, "seed": 3}
    return Feed(**values | {"device": CPU} | changes)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_batch_holds_the_examples_of_its_step_and_their_noise():
    batch = feed().batch(5)
    assert batch["pixels"][:, 0].tolist() == batch_positions(10, 4, 3, 4).tolist()
    noise = torch.rand(4, 1, generator=random_generator(3, "noise", 5)) / 100
    assert torch.equal(batch["noise"], noise)
    assert same(batch, feed().batch(5))
    assert not same(batch, feed().batch(6))


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_processes_shares_make_up_the_whole_batch(processes):
    whole = feed().batch(2)
    parts = [feed(rank=r, processes=processes).batch(2) for r in range(processes)]
    assert same(whole, {name: torch.cat([part[name] for part in parts]) for name in whole})


@pytest.mark.parametrize("placement", ["auto", "device", "memory"])
def test_examples_stay_the_same_wherever_they_are(placement):
    assert same(place(points(3), CPU, placement), points(3))


def test_a_gpu_is_used_for_what_fits_into_half_of_its_free_memory(monkeypatch):
    moved = []

    class Pictures(torch.Tensor):
        def to(self, device):
            moved.append(str(device))
            return self

    pictures = {"pixels": torch.zeros(100, dtype=torch.uint8).as_subclass(Pictures)}
    gpu = torch.device("cuda")
    for free, placement, expected in (
        (200, "auto", ["cuda"]),
        (199, "auto", []),
        (1, "device", ["cuda"]),
        (10_000, "memory", []),
    ):
        moved.clear()
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        place(pictures, gpu, placement)
        assert moved == expected, (free, placement)


class Elsewhere:
    """A device whose batches are prepared ahead, as a GPU's are; the batches stay on the CPU."""

    type = "cuda"


def test_batches_prepared_ahead_are_the_same_in_the_same_order(monkeypatch):
    made = []

    class Watched(Feed):
        def batch(self, step):
            made.append(step)
            return feed().batch(step)

    ahead = Watched(points(10), LineTask().noise, 4, 3, Elsewhere())
    with prefetching(ahead, last=6) as batch:
        for step in range(3, 7):
            assert same(batch(step), feed().batch(step))
    # Each once, and none past the last.
    assert made == [3, 4, 5, 6]


def test_what_goes_wrong_ahead_is_raised_where_the_batch_is_asked_for():
    class Broken(Feed):
        def batch(self, step):
            if step == 2:
                raise OSError("unreadable")
            return {}

    broken = Broken(points(10), LineTask().noise, 4, 3, Elsewhere())
    with prefetching(broken, last=6) as batch:
        batch(1)
        with pytest.raises(OSError, match="unreadable"):
            batch(2)


def test_a_cpu_makes_each_batch_when_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(feeding, "ThreadPoolExecutor", None)
    with prefetching(feed(), last=6) as batch:
        assert same(batch(1), feed().batch(1))
