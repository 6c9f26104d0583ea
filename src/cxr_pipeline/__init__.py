"""From NIH's ChestX-ray14 label file to trained, tracked generative models of chest X-rays."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxr_pipeline.training.sampling import load_generator

__all__ = ["__version__", "load_generator"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # torch takes seconds to import: only who draws images waits for it.
    if name == "load_generator":
        from cxr_pipeline.training.sampling import load_generator

        return load_generator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
