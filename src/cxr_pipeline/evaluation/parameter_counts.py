"""How many parameters each model has, beside the paper's Table 5."""

import pandas as pd
from torch import nn

PAPER_PARAMETERS = {
    ("gan", "discriminator"): 2_795_904,
    ("gan", "generator"): 3_606_976,
    ("gan", "total"): 6_402_880,
}
"""Table 5, at the paper's dimensions."""


def count_parameters(model: str, components: dict[str, nn.Module]) -> pd.DataFrame:
    """Count the learned parameters of a model's components and of all together.

    Args:
        model: The model's name.
        components: Its networks by name.

    Returns:
        Columns `model`, `component`, `parameters` and `paper` (missing where the paper has none).
    """
    counts = {
        name: sum(p.numel() for p in module.parameters()) for name, module in components.items()
    }
    counts["total"] = sum(counts.values())
    return pd.DataFrame(
        {
            "model": model,
            "component": list(counts),
            "parameters": list(counts.values()),
            "paper": pd.array(
                [PAPER_PARAMETERS.get((model, name)) for name in counts], dtype="Int64"
            ),
        }
    )
