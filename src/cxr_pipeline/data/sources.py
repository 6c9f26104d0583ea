"""Where the images of a data set lie on disk."""

import os
from pathlib import Path

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def find_images(raw_dir: str | Path) -> dict[str, Path]:
    """List the image files of a data set by name.

    Looks into the folder itself, `images/`, and NIH's `images_001/images/` to `images_012/images/`.

    Args:
        raw_dir: The folder, or a label file in it.

    Returns:
        File name to path.

    Raises:
        ValueError: If `raw_dir` does not exist or one name lies in two folders.
    """
    root = Path(raw_dir).expanduser()
    root = root.parent if root.is_file() else root
    if not root.is_dir():
        raise ValueError(
            f"raw_dir '{raw_dir}' does not exist: give a folder with NIH's label CSV and the images"
        )
    folders = [
        root,
        root / "images",
        *sorted(root.glob("images_*")),
        *sorted(root.glob("images_*/images")),
    ]
    images: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.lower().endswith(IMAGE_SUFFIXES):
                    continue
                if entry.name in images:
                    raise ValueError(
                        f"image '{entry.name}' lies in '{images[entry.name].parent}' and in "
                        f"'{folder}': keep one of them"
                    )
                images[entry.name] = Path(entry.path)
    return images
