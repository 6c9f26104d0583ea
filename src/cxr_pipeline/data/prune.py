"""Old image stores: which to keep, and removing the others."""

import logging
import re
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from cxr_pipeline.data.store import INDEX, MANIFEST, QUARANTINE

logger = logging.getLogger(__name__)

KEPT = "kept"
REMOVED = "removed"
WOULD_REMOVE = "would remove"
LEFT_ALONE = "left alone"

STORE_NAME = re.compile("[0-9a-f]{16}")
STORE_FILES = (MANIFEST, INDEX, QUARANTINE, "shard_*.npy", "shard_*.json")


class Version(NamedTuple):
    """A row of the table: one version, and what became of it."""

    kind: str
    version: str
    last_used: datetime
    bytes: int
    action: str


def version_table(versions: Iterable[Version]) -> pd.DataFrame:
    """Put versions into a table with one column a field."""
    table = pd.DataFrame(versions, columns=list(Version._fields))
    return table.astype({"last_used": "datetime64[s, UTC]", "bytes": "int64"})


def prune_stores(root: Path, *, keep: int, dry_run: bool) -> pd.DataFrame:
    """Remove the image stores that were not used lately.

    A store was last used when its manifest was written or touched (see `build.build_store`), an
    unfinished one when anything in it was. Links, and whatever else lies in the folder, are left
    alone.

    Args:
        root: The folder that holds all versions.
        keep: How many to keep, those used last.
        dry_run: Only say what would be removed.

    Returns:
        See `Version`; an entry of the folder a row, the one used last first.
    """
    versions = []
    stores = 0
    for path in sorted(root.iterdir(), key=_last_used, reverse=True):
        if not _is_store(path):
            action = LEFT_ALONE
            logger.warning("'%s' is no image store: left alone", path)
        else:
            stores += 1
            action = KEPT if stores <= keep else WOULD_REMOVE if dry_run else REMOVED
        version = Version("image store", path.name, _last_used(path), _size(path), action)
        if action == REMOVED:
            # First, so that a removal cut short leaves nothing that passes for a finished store.
            (path / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(path)
        versions.append(version)
        say_if_gone(version)
    return version_table(versions)


def say_if_gone(version: Version) -> None:
    """Log a version that was removed, or would be."""
    if version.action in (REMOVED, WOULD_REMOVE):
        logger.info(
            "%s %s %s: last used %s, %.1f MB",
            version.action.capitalize(),
            version.kind,
            version.version,
            f"{version.last_used:%Y-%m-%d %H:%M} UTC",
            version.bytes / 1e6,
        )


def _is_store(path: Path) -> bool:
    if path.is_symlink() or not STORE_NAME.fullmatch(path.name):
        return False
    return any(any(path.glob(pattern)) for pattern in STORE_FILES)


def _last_used(path: Path) -> datetime:
    manifest = path / MANIFEST
    dated = [manifest] if _is_store(path) and manifest.is_file() else _all_in(path)
    return datetime.fromtimestamp(max(entry.lstat().st_mtime for entry in dated), UTC)


def _size(path: Path) -> int:
    return sum(entry.lstat().st_size for entry in _all_in(path) if entry.is_file())


def _all_in(path: Path) -> list[Path]:
    """List what a removal would reach: links are not followed."""
    return [path] if path.is_symlink() else [path, *path.rglob("*")]
