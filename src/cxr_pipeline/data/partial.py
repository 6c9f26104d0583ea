"""A file on its way: the part that has arrived, and which version of the file it is of."""

import json
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from cxr_pipeline.data.files import file_digest, write_json


@dataclass(frozen=True)
class Version:
    """Which state of a file a server gave, so that only more of the same is added to it."""

    url: str
    etag: str | None
    last_modified: str | None
    size: int | None

    @property
    def known(self) -> bool:
        """Whether another state of the file could be told from this one."""
        return (self.etag, self.last_modified, self.size) != (None, None, None)

    def agrees_with(self, other: "Version") -> bool:
        """Compare what both say: an answer to If-Range may leave out what was said before."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return all(ours is None or theirs is None or ours == theirs for ours, theirs in pairs)

    def range_headers(self, start: int) -> dict[str, str]:
        """Ask for the bytes from `start` on if the file is still the same, else for all."""
        strong = self.etag if self.etag and not self.etag.startswith("W/") else None
        condition = strong or self.last_modified
        return {"Range": f"bytes={start}-"} | ({"If-Range": condition} if condition else {})


@dataclass(frozen=True)
class Partial:
    """A file wanted at `target`, which gathers in `<target>.part` until it is whole."""

    url: str
    target: Path
    size: int | None
    digests: dict[str, str | None]
    """Algorithm, such as sha256, to digest."""

    @property
    def path(self) -> Path:
        """The part."""
        return part_of(self.target)

    @property
    def record(self) -> Path:
        """Which version the part is of, as JSON."""
        return self.target.with_name(f"{self.target.name}.part.json")

    def length(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self) -> Version | None:
        """The version that the part is of; `None` if there is nothing to go on with."""
        try:
            version = Version(**json.loads(self.record.read_text()))
        except (OSError, ValueError, TypeError):  # none, or no record of ours
            return None
        return version if self.length() and version.known and version.url == self.url else None

    def begin(self, version: Version) -> None:
        """Make way for the first byte of a version."""
        # In this order: the record must never say of old bytes that they are of the new version.
        self.discard()
        write_json(self.record, asdict(version))

    def discard(self) -> None:
        """Forget what has arrived."""
        self.path.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)

    def finish(self) -> None:
        """Put the whole file into its place."""
        self.path.replace(self.target)
        self.record.unlink(missing_ok=True)

    def problem(self, path: Path) -> str | None:
        """What is wrong with a file that should be the one wanted, if anything."""
        size = path.stat().st_size
        if self.size not in {None, size}:
            return f"{size} bytes instead of {self.size}"
        for algorithm, digest in self.digests.items():
            if digest is not None:
                found = file_digest(path, algorithm)
                if found != digest.lower():
                    return f"the {algorithm} {found} instead of {digest}"
        return None


def part_of(target: Path) -> Path:
    """Where a file's bytes gather until it is whole."""
    return target.with_name(f"{target.name}.part")
