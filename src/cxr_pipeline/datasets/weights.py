"""Weights of networks as safetensors: plain numbers, no code."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from safetensors.torch import load_file
from torch import Tensor

from cxr_pipeline.training.saved_model import write_tensors


class WeightsDataset(AbstractDataset[dict[str, Tensor], dict[str, Tensor]]):
    """Saves and loads named tensors."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the safetensors file."""
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: dict[str, Tensor]) -> None:
        """Write the tensors."""
        write_tensors(self._filepath, data)

    def load(self) -> dict[str, Tensor]:
        """Read the tensors to the CPU."""
        return load_file(self._filepath)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
