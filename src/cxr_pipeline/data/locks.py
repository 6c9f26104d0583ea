"""Locks between processes: whose turn it is to write. The kernel keeps them and knows of deaths."""

import errno
import logging
import os
import shlex
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What disks that know no locks answer; EBADF is NFS's for folders."""

LONGEST_COMMAND = 200


@contextmanager
def lock(path: Path, what: str, *, wait: bool) -> Iterator[None]:
    """Keep other processes out until the end of the block, or of this process, however it comes.

    Where there are no such locks (Windows, some network disks), nobody is kept out: there, two runs
    must not be begun at once. A lock holds on one machine; on others too where the disk sees to it.

    Args:
        path: A folder, or a file that is made if needed and stays; a file says who has the lock.
        what: What it is the lock of, for messages.
        wait: Whether to wait for who has it, and say so in the log; else they are named and the
            remedy is.

    Raises:
        ValueError: If another process has it, and is not to be waited for.
    """
    of_file = not path.is_dir()
    if of_file:
        path.parent.mkdir(parents=True, exist_ok=True)
    opened = os.open(path, os.O_RDWR | os.O_CREAT if of_file else os.O_RDONLY)
    try:
        if not _try(opened, path):
            holder = _holder(path) if of_file else "another process"
            if not wait:
                raise ValueError(f"{what} is in use by {holder}: wait for its end, or end it first")
            logger.info("Waiting for %s, in use by %s", what, holder)
            _wait(opened)
        if of_file:
            os.ftruncate(opened, 0)
            os.write(opened, f"process {os.getpid()} ({_command()})".encode())
        yield
    finally:
        os.close(opened)


def _holder(path: Path) -> str:
    # Whoever took it a moment ago may not have written yet.
    return path.read_text() or "another process"


def _command() -> str:
    """This process's command line, in one line."""
    return textwrap.shorten(shlex.join(sys.orig_argv), LONGEST_COMMAND, placeholder=" ...")


if sys.platform == "win32":

    def _try(opened: int, path: Path) -> bool:
        return True

    def _wait(opened: int) -> None:
        raise AssertionError("nobody is waited for where there are no locks")

else:
    import fcntl

    def _try(opened: int, path: Path) -> bool:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            reason = os.strerror(error.errno)
            logger.warning("'%s' cannot be locked (%s): start no second run here", path, reason)
        return True

    def _wait(opened: int) -> None:
        fcntl.flock(opened, fcntl.LOCK_EX)
