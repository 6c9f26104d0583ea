"""What MLflow runs to serve a model: copied beside its weights as it is, and never pickled.

It finds the package's core in the model's own `code/` folder, and needs neither Kedro nor the
repository.
"""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

MOST_IMAGES = 4096
"""Of one request, whose answer is held in memory."""


class ServedGenerator(PythonModel):
    """Draws images on request."""

    def load_context(self, context: Any) -> None:
        """Load the weights, which `config.json` vouches for."""
        from cxr_pipeline.training.sampling import load_generator

        self.generator = load_generator(Path(context.artifacts["config"]).parent)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        """Draw images.

        Args:
            context: MLflow's.
            model_input: A request a row: `n` and, as one likes, `seed` (0), `findings` (`A|B` or
                `flat`, of a conditional model), `temperature` (1) and `png` (false). Images of
                several follow one another.
            params: Not used.

        Returns:
            (N, H, W) uint8; with `png`, N strings: PNG files in base64.

        Raises:
            ValueError: If a value is out of range, or asks for a finding the model does not know.
        """
        # Without what a request leaves open.
        rows = [
            {str(name): value for name, value in row.items() if pd.notna(value)}
            for row in model_input.to_dict("records")
        ]
        total = sum(int(row.get("n", 0)) for row in rows)
        if total > MOST_IMAGES:
            raise ValueError(
                f"n={total}: ask for at most {MOST_IMAGES} at a time; another seed, other images"
            )
        pictures = [picture for row in rows for picture in self._draw(row)]
        if any(row.get("png") for row in rows):
            return [_png(picture) for picture in pictures]
        return np.stack(pictures)

    def _draw(self, row: dict[str, Any]) -> list[Any]:
        if "n" not in row:
            raise ValueError('n is missing: say how many images to draw, as in {"n": 4, "seed": 0}')
        findings = row.get("findings")
        drawn = self.generator.pictures(
            int(row["n"]),
            seed=int(row.get("seed", 0)),
            findings=findings.split("|") if findings else None,
            temperature=float(row.get("temperature", 1.0)),
        )
        return list(drawn)


def _png(picture: Any) -> str:
    from cxr_pipeline.data.png import encode_png

    return base64.b64encode(encode_png(picture)).decode("ascii")


set_model(ServedGenerator())
