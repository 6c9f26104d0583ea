"""The models there are: what each module of a model offers to training and sampling."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from cxr_pipeline.training import gmvae, lsgan, vae
from cxr_pipeline.training.task import Sampler, Task


class Model(Protocol):
    """What a model's module offers."""

    @property
    def IMAGE_SIZE(self) -> int:  # noqa: N802 - a module's constant
        """Side of the images, in pixels."""
        ...

    def architecture(
        self, parameters: Mapping[str, Any], findings: Sequence[str]
    ) -> dict[str, Any]:
        """Say what is needed to rebuild the networks, in JSON's types.

        Its `findings` are the label vector's entries; empty where the model is not conditional.
        """
        ...

    def build_task(self, architecture: Mapping[str, Any], parameters: Mapping[str, Any]) -> Task:
        """Build networks and optimisers, with weights from torch's global generator."""
        ...

    def build_sampler(self, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Sampler:
        """Rebuild what draws images from a model's `config.json` and weights."""
        ...


MODELS: dict[str, Model] = {"vae": vae, "gmvae": gmvae, "gan": lsgan}
"""By the name of their pipelines, parameters and folders."""
