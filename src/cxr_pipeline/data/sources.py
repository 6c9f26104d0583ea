"""Where the images of a data set lie on disk."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")


class Source(NamedTuple):
    """An image file as its folder lists it; nothing of it has been read."""

    path: str
    size: int
    """Bytes; of a link, those of what it points to."""
    modified: int
    """Nanoseconds since 1970."""
    leads_out: bool
    """Whether it is a link, or lies behind one, that leads out of the data set's folder."""
    trouble: str | None = None
    """Why there is nothing to read: a link to nothing, a folder, a pipe."""


def data_folder(raw_dir: str | Path) -> Path:
    """The folder of a data set, which may be named by a label file in it."""
    root = Path(os.path.expanduser(raw_dir))  # Path.expanduser raises on ~nobody
    return root.parent if root.is_file() else root


def require_data_folder(raw_dir: str | Path) -> Path:
    """The folder of a data set that has to be there.

    Raises:
        ValueError: If it is not.
    """
    root = data_folder(raw_dir)
    if not root.is_dir():
        raise ValueError(
            f"raw_dir '{raw_dir}' does not exist: give a folder with the label CSV and the "
            "images, e.g. --params=raw_dir=/data/cxr14"
        )
    return root


def find_images(raw_dir: str | Path) -> dict[str, Source]:
    """List the image files of a data set by name.

    Looks into the folder itself, `images/`, and NIH's `images_001/images/` to `images_012/images/`.

    Args:
        raw_dir: The folder, or a label file in it.

    Returns:
        File name to file.

    Raises:
        ValueError: If `raw_dir` does not exist or one name lies in two folders.
    """
    root = require_data_folder(raw_dir)
    folders = [
        root,
        root / "images",
        *sorted(root.glob("images_*")),
        *sorted(root.glob("images_*/images")),
    ]
    within = _with_separator(root)
    images: dict[str, Source] = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        folder_leads_out = not _with_separator(folder).startswith(within)
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.lower().endswith(IMAGE_SUFFIXES):
                    continue
                if entry.name in images:
                    raise ValueError(
                        f"image '{entry.name}' lies in '{Path(images[entry.name].path).parent}' "
                        f"and in '{folder}': keep one of them"
                    )
                leads_out = folder_leads_out or (
                    entry.is_symlink() and not os.path.realpath(entry.path).startswith(within)
                )
                images[entry.name] = _source(entry, leads_out)
    return images


def _with_separator(folder: Path) -> str:
    """Where the folder really is, such that what lies in it begins with that."""
    return os.path.join(os.path.realpath(folder), "")


def _source(entry: "os.DirEntry[str]", leads_out: bool) -> Source:
    try:
        status = entry.stat()
    except OSError as error:
        kind = "broken link" if entry.is_symlink() else "inaccessible file"
        return Source(entry.path, 0, 0, leads_out, f"{kind} ({error.strerror})")
    trouble = None if stat.S_ISREG(status.st_mode) else "not a file"
    return Source(entry.path, status.st_size, status.st_mtime_ns, leads_out, trouble)
