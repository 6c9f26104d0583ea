"""Building stores as the pipeline does; as a script, what it takes in memory and a second time.

Imports no torch, as preprocessing does not.
"""

import shutil
import sys
from pathlib import Path

from timing import seconds_of

from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.data.plan import StorePlan, plan_store
from cxr_pipeline.data.splits import assign_splits
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.data.transforms import Transform

SIZE = 128
MAX_PIXELS = 50_000_000


def plan(raw_dir: Path, workers: int | None = None, size: int = SIZE) -> StorePlan:
    """Plan the store of a data set, as the pipeline does."""
    labels = assign_splits(
        read_labels(raw_dir), raw_dir, source="auto", validation=0.1, test=0.1, seed=0
    )
    return plan_store(
        labels,
        raw_dir,
        how=Transform(size, equalise=True),
        shard_size=256,
        max_quarantined=0,
        max_pixels=MAX_PIXELS,
        workers=workers,
    )


def build(raw_dir: Path, root: Path, workers: int | None = None, size: int = SIZE) -> ImageStore:
    """Build a store from nothing."""
    shutil.rmtree(root, ignore_errors=True)
    return build_store(plan(raw_dir, workers, size), root)


if __name__ == "__main__":
    folders = Path(sys.argv[1]), Path(sys.argv[2])
    build(*folders, size=16)
    # Not resource.getrusage: its peak would be that of the process which started this one.
    status = Path("/proc/self/status").read_text().split()
    print(int(status[status.index("VmHWM:") + 1]) / 1024)
    # From the label file to the opened store, as a second run does it.
    again = [seconds_of(lambda: build_store(plan(folders[0], size=16), folders[1])) for _ in "123"]
    print(min(again))
