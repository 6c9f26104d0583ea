"""Old image stores and features: which to keep, and removing the others."""

import json
import logging
import re
import shutil
from collections.abc import Callable, Container, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cxr_pipeline.data.store import INDEX, MANIFEST, QUARANTINE

logger = logging.getLogger(__name__)

KEPT = "kept"
REMOVED = "removed"
WOULD_REMOVE = "would remove"
LEFT_ALONE = "left alone"

VERSION_NAME = re.compile("[0-9a-f]{16}")


class Kind(NamedTuple):
    """What lies in versions in a folder."""

    name: str
    files: tuple[str, ...]
    """Patterns; a folder without any such file is no version."""
    manifest: str = MANIFEST
    """The file that is written or touched when the version is used."""


STORE = Kind("image store", (MANIFEST, INDEX, QUARANTINE, "shard_*.npy", "shard_*.json"))
FEATURES = Kind("feature cache", (MANIFEST, "shard_*.npy"))
KEY = "key.json"
ARRAYS = Kind("kept arrays", (KEY, "rows_*.npy"), KEY)
"""See `evaluation.kept_arrays`."""


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
    return _prune(root, STORE, lambda path: True, keep=keep, dry_run=dry_run)


def prune_features(
    root: Path, digests: Container[str], *, keep: int, dry_run: bool
) -> pd.DataFrame:
    """Remove the features whose image store is gone, and those that were not used lately.

    Args:
        root: The folder that holds all versions (see `training.feature_cache`).
        digests: Those of the image stores that are kept.
        keep: How many to keep, those used last.
        dry_run: Only say what would be removed.

    Returns:
        As `prune_stores` does.
    """

    def has_images(path: Path) -> bool:
        digest = _read_manifest(path).get("image_store_digest")
        return digest is None or digest in digests

    return _prune(root, FEATURES, has_images, keep=keep, dry_run=dry_run)


def prune_arrays(root: Path, *, keep: int, dry_run: bool) -> pd.DataFrame:
    """Remove what evaluations kept (samples drawn, features of images) and did not use lately.

    Args:
        root: The folder that holds them, by their kinds.
        keep: How many to keep of each kind, those used last.
        dry_run: Only say what would be removed.

    Returns:
        As `prune_stores` does.
    """
    # What lies beside them, scores, is of a few kB.
    kinds = [root / name for name in ("features", "samples") if (root / name).is_dir()]
    tables = [_prune(kind, ARRAYS, lambda _: True, keep=keep, dry_run=dry_run) for kind in kinds]
    return pd.concat([version_table([]), *tables])


def digests_left(root: Path, pruned: pd.DataFrame) -> set[str]:
    """Read the digests of the image stores that `prune_stores` kept, or would keep."""
    left = pruned["version"][~pruned["action"].isin([REMOVED, WOULD_REMOVE])]
    manifests = [_read_manifest(root / version) for version in left]
    return {manifest["digest"] for manifest in manifests if "digest" in manifest}


def _prune(
    root: Path, kind: Kind, wanted: Callable[[Path], bool], *, keep: int, dry_run: bool
) -> pd.DataFrame:
    versions = []
    kept = 0
    for path in sorted(root.iterdir(), key=partial(_last_used, kind), reverse=True):
        if not _is_version(kind, path):
            action = LEFT_ALONE
            logger.warning("'%s' is no %s: left alone", path, kind.name)
        elif kept < keep and wanted(path):
            action = KEPT
            kept += 1
        else:
            action = WOULD_REMOVE if dry_run else REMOVED
        version = Version(kind.name, path.name, _last_used(kind, path), _size(path), action)
        if action == REMOVED:
            # First, so that a removal cut short leaves nothing that passes for a finished version.
            (path / kind.manifest).unlink(missing_ok=True)
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


def _is_version(kind: Kind, path: Path) -> bool:
    if path.is_symlink() or not VERSION_NAME.fullmatch(path.name):
        return False
    return any(any(path.glob(pattern)) for pattern in kind.files)


def _read_manifest(path: Path) -> dict[str, Any]:
    """Read what a version was made from; empty if it is unfinished or damaged."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _last_used(kind: Kind, path: Path) -> datetime:
    manifest = path / kind.manifest
    dated = [manifest] if _is_version(kind, path) and manifest.is_file() else _all_in(path)
    return datetime.fromtimestamp(max(entry.lstat().st_mtime for entry in dated), UTC)


def _size(path: Path) -> int:
    return sum(entry.lstat().st_size for entry in _all_in(path) if entry.is_file())


def _all_in(path: Path) -> list[Path]:
    """List what a removal would reach: links are not followed."""
    return [path] if path.is_symlink() else [path, *path.rglob("*")]
