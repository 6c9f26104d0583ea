"""Weights of networks as safetensors: plain numbers, no code.

torch takes seconds to import, and the catalog of every run names this data set: it is imported once
weights are saved or loaded.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from cxr_pipeline.datasets.previews import NOTHING_YET, TablePreview, weights_preview

if TYPE_CHECKING:
    from torch import Tensor


class WeightsDataset(AbstractDataset[dict[str, "Tensor"], dict[str, "Tensor"]]):
    """Saves and loads named tensors."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the safetensors file."""
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: dict[str, "Tensor"]) -> None:
        """Write the tensors."""
        from cxr_pipeline.training.saved_model import write_tensors

        write_tensors(self._filepath, data)

    def load(self) -> dict[str, "Tensor"]:
        """Read the tensors to the CPU."""
        from safetensors.torch import load_file

        return load_file(self._filepath)

    def preview(self) -> TablePreview:
        """The tensors by name, with their shapes and numbers, for Kedro-Viz."""
        return weights_preview(self._filepath) if self._exists() else NOTHING_YET

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
