"""Every parameter of the project, with its range and unit: what `parameters.yml` may say.

Nodes name these models as the types of their `params:` inputs, so Kedro builds and checks them;
`check_parameters` checks them all at once, before anything is read, and says what to mend.
"""

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cxr_pipeline.data.findings import FINDINGS, NO_FINDING

Share = Annotated[float, Field(ge=0, lt=1)]
PositiveInt = Annotated[int, Field(gt=0)]


class ClosedModel(BaseModel):
    """Unknown keys, other types and numbers that are not finite are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SampleDataParameters(ClosedModel):
    """The drawn chest phantoms that the project is tried on."""

    seed: int = Field(ge=0, description="Another seed, other patients.")
    patients: PositiveInt = Field(description="Patients drawn.")
    images: PositiveInt = Field(description="Images of all patients together.")
    size: int = Field(ge=64, description="Side of the images, in pixels.")


class LabelParameters(ClosedModel):
    """How patients are held out."""

    validation: Share = Field(description="Expected share of patients in the validation split.")
    test: Share = Field(description="Expected share of patients in the test split.")
    seed: int = Field(ge=0, description="Another seed, another partition of the patients.")

    @model_validator(mode="after")
    def _leaves_patients_to_train_on(self) -> "LabelParameters":
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must stay below 1")
        return self


class PreprocessingParameters(ClosedModel):
    """From image files to the image store (the paper's section 4)."""

    size: int = Field(ge=16, le=1024, description="Side of the stored images, in pixels.")
    equalise: bool = Field(description="Whether to equalise each image's histogram.")
    shard_size: PositiveInt = Field(description="Images a shard.")
    max_quarantined: float = Field(
        ge=0, le=1, description="Share of images that may be unusable before the run stops."
    )
    workers: PositiveInt | None = Field(description="Images decoded at a time; null is one a core.")


class TrainingParameters(ClosedModel):
    """What the training of every model has in common."""

    seed: int = Field(ge=0, description="Decides weights, batches and noise.")
    findings: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        description="Train on images with one of these findings; empty is all images."
    )
    epochs: PositiveInt = Field(description="Runs through the training images.")
    max_steps: PositiveInt | None = Field(
        description="Training length in steps; where it is set, it replaces `epochs`."
    )
    batch_size: int = Field(ge=2, description="Images a step.")
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field(description="Where to train.")
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = Field(
        description="Floating-point numbers; auto takes what the device computes natively."
    )
    log_every: PositiveInt = Field(description="Steps between two lines of progress.")
    checkpoint_every: PositiveInt = Field(description="Steps between two checkpoints.")
    sample_at: Annotated[tuple[Annotated[int, Field(ge=-1)], ...], Field(strict=False)] = Field(
        description="Steps after which to draw progress samples; -1 is the last."
    )
    resume: Literal["auto", True, False] = Field(
        description="Go on from the last checkpoint: auto does so after an interruption."
    )
    samples: PositiveInt = Field(description="Synthetic images to draw after training.")
    sample_seed: int = Field(ge=0, description="Decides the synthetic images' noise.")

    @model_validator(mode="after")
    def _knows_its_findings(self) -> "TrainingParameters":
        for finding in self.findings:
            if finding not in (*FINDINGS, NO_FINDING):
                known = ", ".join((*FINDINGS, NO_FINDING))
                raise ValueError(f"unknown finding '{finding}': choose from {known}")
        return self


class GanParameters(TrainingParameters):
    """The LSGAN (the paper's section 5 and Fig. 7)."""

    dim_z: PositiveInt = Field(description="Noise dimension Z.")
    patch_scores: bool = Field(
        description="Score four quarters of an image (Fig. 7) or the whole (the authors' code)."
    )
    learning_rate: float = Field(gt=0, lt=1, description="Adam's, for both networks.")
    betas: Annotated[tuple[Share, Share], Field(strict=False)] = Field(
        description="Adam's, for both networks."
    )
    generator_steps: PositiveInt = Field(description="Generator steps a discriminator step.")


class PruneParameters(ClosedModel):
    """How many old versions are kept."""

    stores: PositiveInt = Field(description="Image stores kept: those used last.")
    models: PositiveInt = Field(description="Finished MLflow runs of each model that keep it.")
    dry_run: bool = Field(description="Only say what would be removed.")


class Parameters(ClosedModel):
    """All of `parameters.yml`."""

    raw_dir: str = Field(description="Folder with NIH's label CSV and the images, or that CSV.")
    sample_data: SampleDataParameters
    labels: LabelParameters
    preprocessing: PreprocessingParameters
    gan: GanParameters
    prune: PruneParameters


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
        raise ValueError(f"{problems} (see conf/base/parameters.yml)") from None


def _explain(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        matches = difflib.get_close_matches(name, _names(Parameters), n=1)
        hint = f": did you mean '{matches[0]}'?" if matches else ""
        return f"unknown parameter '{name}'{hint}"
    if problem["type"] == "missing":
        return f"parameter '{name}' is missing"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"parameter {name}={problem['input']!r}: {message}"


def _names(model: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for field, information in model.model_fields.items():
        kind = information.annotation
        names.append(prefix + field)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names.extend(_names(kind, f"{prefix}{field}."))
    return names
