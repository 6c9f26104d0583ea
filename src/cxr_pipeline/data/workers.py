"""Who makes the shards: threads here, or the workers of a Dask cluster."""

import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from contextlib import contextmanager

logger = logging.getLogger(__name__)

SECONDS_TO_REACH_CLUSTER = 30.0


@contextmanager
def workers(count: int, dask_scheduler: str | None) -> Iterator[Executor]:
    """Threads of this process, or a Dask cluster's workers.

    Args:
        count: Threads.
        dask_scheduler: Address of a Dask scheduler, whose workers are taken instead of threads.

    Raises:
        ValueError: If Dask is not installed, or the scheduler cannot be reached, is lost, or has no
            worker.
    """
    if not dask_scheduler:
        # Threads suffice: decoding, resizing and digesting leave Python's lock to the others.
        with ThreadPoolExecutor(count) as pool:
            yield pool
        return
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise ValueError(
            f"preprocessing.dask_scheduler={dask_scheduler!r} needs Dask: "
            "pip install 'cxr_pipeline[dask]'"
        ) from error
    try:
        client = Client(dask_scheduler, timeout=SECONDS_TO_REACH_CLUSTER)
    except (OSError, ValueError, TypeError) as error:  # TypeError: TLS without certificates
        raise ValueError(
            f"preprocessing.dask_scheduler={dask_scheduler!r} cannot be reached: start one "
            "with `dask scheduler` and give its address, such as tcp://host:8786"
        ) from error
    # Of a lost cluster the error below says what is to be known; the client would add tracebacks.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    with client:
        if not client.nthreads():
            logger.warning("No Dask worker yet: start some with `dask worker %s`", dask_scheduler)
        try:
            client.wait_for_workers(1, timeout=SECONDS_TO_REACH_CLUSTER)
        except TimeoutError as error:
            raise ValueError(
                f"preprocessing.dask_scheduler={dask_scheduler!r} has no worker: start some with "
                f"`dask worker {dask_scheduler}`"
            ) from error
        try:
            with client.get_executor(pure=False) as pool:
                yield pool
        except (CancelledError, KilledWorker) as error:
            raise ValueError(
                f"preprocessing.dask_scheduler={dask_scheduler!r}: its scheduler or workers were "
                f"lost ({type(error).__name__}): see their logs, then run again: what is made stays"
            ) from error
