"""Write the networks' diagrams into docs/networks.md: python -m tests.golden.networks --write."""

import re
import sys

from tests.parameters.configuration import BASE, PROJECT

from cxr_pipeline.pipelines.training.diagrams import network_diagram

PAGE = PROJECT / "docs/networks.md"
MODELS = ("gan", "vae", "gmvae")


def with_diagrams(page: str) -> str:
    """The page with its diagrams, which stand in the order of `MODELS`, as they are now."""
    diagrams = iter([network_diagram(model, BASE[model]) for model in MODELS])
    return re.sub(
        r"```mermaid\n.*?```", lambda _: f"```mermaid\n{next(diagrams)}```", page, flags=re.S
    )


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(with_diagrams(PAGE.read_text()))
