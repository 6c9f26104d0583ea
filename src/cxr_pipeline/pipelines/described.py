"""What Kedro-Viz says of a node that is clicked."""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kedro.pipeline import Pipeline
from kedro.pipeline.preview_contract import MermaidPreview, TextPreview
from kedro.utils import KedroExperimentalWarning

SECTIONS = re.compile(r"\n\n(Args|Returns|Raises|Yields):\n")


Show = Callable[[], TextPreview | MermaidPreview]


def described(pipeline: Pipeline, shows: Mapping[str, Show]) -> Pipeline:
    """Let each node of a pipeline say what it does; without that Viz shows its code alone.

    Args:
        pipeline: The pipeline.
        shows: What nodes show that have more than the words of their function's docstring, by name.
    """
    with warnings.catch_warnings():
        # That previews of nodes may change one day is for Kedro's users to know, not for ours.
        warnings.simplefilter("ignore", KedroExperimentalWarning)
        return Pipeline(
            [
                node._copy(preview_fn=shows.get(node.name, partial(description, node.func)))
                for node in pipeline.nodes
            ]
        )


def description(function: Callable[..., Any]) -> TextPreview:
    """The docstring of a function up to its arguments, a paragraph a line."""
    text = SECTIONS.split(inspect.getdoc(function) or "")[0]
    paragraphs = re.split(r"\n{2,}", text)
    return TextPreview("\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))
