import os
import subprocess
import sys

import pytest

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
    command = [sys.executable, "-c", FAULTS, how]
    done = subprocess.run(
        command, env=os.environ | GLIBC, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_memory_that_is_freed_is_there_for_the_next_tensor():
    # Forty times 16 MB are 163,840 pages. The heap takes a few blocks to settle.
    assert page_faults("keep") < 40_000
    assert page_faults("give back") > 160_000
