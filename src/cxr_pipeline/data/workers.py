"""Who makes the shards: threads here, or the workers of a Dask cluster."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

SECONDS_TO_REACH_CLUSTER = 30.0


@contextmanager
def workers(count: int, dask_scheduler: str | None) -> Iterator[Executor]:
    """Threads of this process, or a Dask cluster's workers.

    Args:
        count: Threads.
        dask_scheduler: Address of a Dask scheduler, whose workers are taken instead of threads.

    Raises:
        ValueError: If Dask is not installed or the scheduler cannot be reached.
    """
    if not dask_scheduler:
        # Threads suffice: decoding, resizing and digesting leave Python's lock to the others.
        with ThreadPoolExecutor(count) as pool:
            yield pool
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError(
            "preprocessing.dask_scheduler needs Dask: pip install 'cxr_pipeline[dask]'"
        ) from error
    try:
        client = Client(dask_scheduler, timeout=SECONDS_TO_REACH_CLUSTER)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"preprocessing.dask_scheduler={dask_scheduler!r} cannot be reached: start one "
            "with `dask scheduler` and give its address, such as tcp://host:8786"
        ) from error
    with client, client.get_executor(pure=False) as pool:
        yield pool
