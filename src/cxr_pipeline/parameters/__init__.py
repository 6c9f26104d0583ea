"""Every parameter of the project, with its range and unit: what `parameters*.yml` may say.

Nodes name these models as the types of their `params:` inputs, so Kedro builds and checks them;
`check_parameters` checks them all at once, before anything is read, and says what to mend.
"""

import difflib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from cxr_pipeline.data.files import json_digest
from cxr_pipeline.parameters.data import (
    DownloadParameters,
    LabelParameters,
    PreprocessingParameters,
    PruneParameters,
    SampleDataParameters,
)
from cxr_pipeline.parameters.evaluation import (
    ClassifierParameters,
    EvaluationParameters,
    UtilityParameters,
)
from cxr_pipeline.parameters.fields import ClosedModel
from cxr_pipeline.parameters.models import (
    GanParameters,
    GmvaeParameters,
    GmvaeSweepParameters,
    VaeBetaSweepParameters,
    VaeParameters,
)
from cxr_pipeline.parameters.training import TrainingParameters

NO_MATTER_TO_IMAGES = {"dask_scheduler", "max_quarantined", "sheet", "verify", "workers"}
"""Parameters of preprocessing that make no image another."""


class Parameters(ClosedModel):
    """All of `parameters*.yml`."""

    raw_dir: str = Field(description="Folder with the label CSVs and the images, or one CSV.")
    sample_data: SampleDataParameters
    download: DownloadParameters
    labels: LabelParameters
    preprocessing: PreprocessingParameters
    gan: GanParameters
    vae: VaeParameters
    gmvae: GmvaeParameters
    vae_beta_sweep: VaeBetaSweepParameters
    gmvae_sweep: GmvaeSweepParameters
    classifier: ClassifierParameters
    evaluation: EvaluationParameters
    utility: UtilityParameters
    prune: PruneParameters

    @model_validator(mode="after")
    def _sweeps_over_versions_that_there_are(self) -> "Parameters":
        unknown = set(self.gmvae_sweep.versions) - set(self.gmvae.versions)
        if unknown:
            raise ValueError(
                f"gmvae_sweep.versions: unknown version {', '.join(sorted(unknown))}: choose from "
                f"{', '.join(self.gmvae.versions)}"
            )
        return self

    @model_validator(mode="after")
    def _evaluates_models_that_there_are(self) -> "Parameters":
        models = self.of_models()
        for section, asked in (("evaluation", self.evaluation), ("utility", self.utility)):
            unknown = set(asked.models) - models.keys()
            if unknown:
                raise ValueError(
                    f"{section}.models: unknown model {', '.join(sorted(unknown))}: choose from "
                    f"{', '.join(models)}"
                )
        return self

    def of_models(self) -> dict[str, TrainingParameters]:
        """The sections of the models that draw images, by name."""
        sections = {name: getattr(self, name) for name in type(self).model_fields}
        return {n: own for n, own in sections.items() if isinstance(own, TrainingParameters)}


def check_parameters(raw: dict[str, Any]) -> Parameters:
    """Check all parameters at once.

    Args:
        raw: The merged parameters of the configuration and the command line.

    Raises:
        ValueError: If any is unknown, missing, of another type or out of range: a single line that
            names each one, its value and what it should be.
    """
    if not raw.get("raw_dir"):
        raise ValueError(
            "raw_dir is not set: set CXR14_DIR (--env=cxr14) or give --params=raw_dir=DIR"
        )
    try:
        return Parameters.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_explain(problem) for problem in error.errors())
        # A value may have line breaks in it.
        problems = " ".join(problems.splitlines())
        raise ValueError(f"{problems} (see docs/parameters.md)") from None


def source_digest(parameters: Parameters) -> str:
    """Digest of what images are made from and how, as far as it is known before any is read."""
    how = parameters.preprocessing.model_dump(mode="json", exclude=NO_MATTER_TO_IMAGES)
    labels = parameters.labels.model_dump(mode="json")
    return json_digest([str(Path(parameters.raw_dir).resolve()), labels, how])


def _explain(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        matches = difflib.get_close_matches(name, _names(Parameters), n=1)
        hint = f": did you mean '{matches[0]}'?" if matches else ""
        return f"unknown parameter '{name}'{hint}"
    if problem["type"] == "missing":
        return f"parameter '{name}' is missing"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    # Of a whole section, what is wrong with it is said in the message.
    value = "" if isinstance(problem["input"], dict) else f"={problem['input']!r}"
    if not name:
        return str(message)  # of several sections together: it names them itself
    return f"parameter {name}{value}: {message}"


def _names(model: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for field, information in model.model_fields.items():
        kind = information.annotation
        names.append(prefix + field)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names.extend(_names(kind, f"{prefix}{field}."))
    return names
