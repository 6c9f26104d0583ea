import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_pipeline.training.memory import HUGE_PAGES, ask_for_huge_pages

FAULTS = """
import resource, sys
import torch
from cxr_pipeline.training.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(3):
    torch.ones(4 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(40):
    torch.ones(4 * 2**20)  # 16 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

# Where glibc begins; what it learns from there on depends on where in memory it began.
GLIBC = {"MALLOC_MMAP_THRESHOLD_": "131072"}


def page_faults(how):
    return run(FAULTS, how, GLIBC)


def run(code, how, environment):
    """What a process of its own prints, which nothing was asked for in: this one may have been."""
    own = {name: value for name, value in os.environ.items() if name != HUGE_PAGES}
    command = [sys.executable, "-c", code, how]
    done = subprocess.run(
        command, env=own | environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_memory_that_is_freed_is_there_for_the_next_tensor():
    # Forty times 16 MB are 163,840 pages. The heap takes a few blocks to settle.
    assert page_faults("keep") < 40_000
    assert page_faults("give back") > 160_000


HUGE = """
import resource, sys
from cxr_pipeline.training.memory import ask_for_huge_pages

if sys.argv[1] == "ask":
    ask_for_huge_pages()
import torch

before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(64 * 2**20)  # 256 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

MADVISE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not MADVISE.is_file() or "[madvise]" not in MADVISE.read_text(),
    reason="the kernel gives huge pages to all who do not ask, or to none",
)
def test_large_tensors_lie_in_huge_pages():
    # 65,536 small pages, or 128 huge ones and what is around them, where enough memory is whole.
    small = run(HUGE, "do not", {})
    assert small > 60_000
    assert run(HUGE, "ask", {}) < small / 2


def test_a_users_own_choice_of_pages_stays(monkeypatch):
    monkeypatch.setenv(HUGE_PAGES, "0")
    ask_for_huge_pages()
    assert os.environ[HUGE_PAGES] == "0"
