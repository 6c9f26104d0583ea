"""Versioned Kedro data sets whose versions are named by a digest of what they were made from."""

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from kedro.io import AbstractVersionedDataset, Version
from kedro.io.core import VersionNotFoundError

Plan = TypeVar("Plan")
Made = TypeVar("Made")


class DigestVersionedDataset(AbstractVersionedDataset[Plan, Made], Generic[Plan, Made]):
    """Saves a plan by making what it describes; loads what was made.

    Saving the same plan again finds the version that is there. Without a version asked for
    (`--load-versions=NAME:VERSION`), the one last saved or reused is loaded.
    """

    MANIFEST: str
    """The file that a finished version has."""
    ABSENT: str
    """What is not there, and how it is made, for the message."""

    def __init__(
        self,
        filepath: str,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the folder that holds the versions."""
        super().__init__(PurePosixPath(filepath), version or Version(None, None))
        self.metadata = metadata
        self._saved: str | None = None

    @abstractmethod
    def make(self, plan: Plan, root: Path) -> str:
        """Make what is planned in a folder below `root`, and return the folder's name."""

    @abstractmethod
    def open(self, folder: Path) -> Made:
        """Open a version."""

    def save(self, data: Plan) -> None:
        """Make what is planned, or find it made."""
        self._saved = self.make(data, Path(self._filepath))

    def load(self) -> Made:
        """Open the version."""
        return self.open(Path(self._get_load_path()))

    def resolve_load_version(self) -> str | None:
        """The version asked for, else the one saved in this run, else the one last used."""
        if self._version and self._version.load:
            return str(self._version.load)
        if self._saved:
            return self._saved
        manifests = list(Path(self._filepath).glob(f"*/{self.MANIFEST}"))
        if not manifests:
            raise VersionNotFoundError(f"no {self.ABSENT}".format(self._filepath))
        return max(manifests, key=lambda path: path.stat().st_mtime_ns).parent.name

    def _get_versioned_path(self, version: str) -> PurePosixPath:
        return super()._get_versioned_path(version).parent

    @classmethod
    def _save_wrapper(cls, save_func: Callable[..., None]) -> Callable[..., None]:
        # Kedro compares the version it wanted to save (a time) with the one it would load; a
        # digest is known only once the plan is, so that comparison has to be passed over.
        wrapped: Callable[..., None] = super(AbstractVersionedDataset, cls)._save_wrapper(save_func)
        return wrapped

    def _exists(self) -> bool:
        return (Path(self._get_load_path()) / self.MANIFEST).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}
