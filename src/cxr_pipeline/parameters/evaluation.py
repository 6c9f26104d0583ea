"""Parameters of the evaluation: the classifier, the scores, the audit and the utility."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from cxr_pipeline.parameters.fields import (
    ClosedModel,
    PositiveInt,
    Several,
    Share,
    as_numbers,
    note,
)
from cxr_pipeline.parameters.training import EngineParameters

Models = Annotated[tuple[str, ...], *Several]
Side = Annotated[int, Field(ge=32, le=512)]


class ClassifierParameters(EngineParameters):
    """The classifier of findings: extractor of features, judge of samples, measure of utility."""

    network: Literal["small", "resnet18", "densenet121"] = Field(
        description="Which network: a ResNet of 0.3 million parameters, or torchvision's."
    )
    image_size: Side = Field(
        description="Side that images are resized to for it.", json_schema_extra=note("pixels")
    )
    learning_rate: float = Field(gt=0, lt=1, description="Adam's, at its highest.")
    weight_decay: float = Field(ge=0, lt=1, description="Adam's.")
    augment: bool = Field(description="Whether to shift, turn and scale training images a little.")


class EvaluationParameters(ClosedModel):
    """What is scored against which real images, and how."""

    seed: int = Field(ge=0, description="Decides halves, projections, networks and resampling.")
    models: Models = Field(
        description="Which trained models; empty for all that there are.",
        json_schema_extra=note(choices="list: models"),
    )
    synthetic_dir: str | None = Field(
        description="A folder of images to score beside them, with or without a label CSV; null "
        "for none.",
        json_schema_extra=note(choices="a folder"),
    )
    samples: PositiveInt = Field(
        description="Images to draw of each model, with its sample_seed and temperature.",
        json_schema_extra=note("images"),
    )
    splits: Annotated[tuple[Literal["validation", "test"], ...], *Several] = Field(
        min_length=1, description="Which real images are held out; no model has seen them."
    )
    images: PositiveInt = Field(
        description="Real images held out to compare with, at most; as many others are the floor.",
        json_schema_extra=note("images"),
    )
    extractors: Annotated[
        tuple[Literal["classifier", "random", "inception", "torchxrayvision"], ...], *Several
    ] = Field(
        min_length=1,
        description="What features are compared: those of the classifier trained here, of a "
        "network of random weights, or of one in a local file.",
    )
    weights: str | None = Field(
        description="The file of inception's or torchxrayvision's weights; nothing is downloaded.",
        json_schema_extra=note(choices="a file"),
    )
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        description="What that file's SHA-256 has to be; null for any."
    )
    neighbours: PositiveInt = Field(
        description="Of precision, recall, density and coverage: which neighbour is a radius away.",
        json_schema_extra=note("images"),
    )
    kid_subset: int = Field(
        ge=2, description="Images in each of KID's subsets.", json_schema_extra=note("images")
    )
    replicates: int = Field(
        ge=20, description="Bootstrap samples an interval is from.", json_schema_extra=note("draws")
    )
    max_memorised: Share | None = Field(
        description="The release gate: a larger share of copies among a model's samples stops "
        "their export; null for none.",
        json_schema_extra=note("share"),
    )
    leave_out_memorised: bool = Field(
        description="Whether samples taken for copies are left out of the exported data set."
    )

    @model_validator(mode="after")
    def _one_file_for_one_extractor(self) -> "EvaluationParameters":
        from_file = [name for name in self.extractors if name in {"inception", "torchxrayvision"}]
        if len(from_file) > 1:
            raise ValueError(
                f"extractors={'|'.join(self.extractors)}: {' and '.join(from_file)} need a file "
                "each, and there is one weights: choose one of them a run"
            )
        if from_file and self.weights is None:
            raise ValueError(
                f"extractors={'|'.join(self.extractors)}: {from_file[0]} needs its weights: set "
                "weights=FILE, or leave it out"
            )
        return self


class UtilityParameters(ClosedModel):
    """Whether synthetic images help to train a classifier; it is trained as `classifier` says."""

    models: Models = Field(
        description="Whose images to add; empty for all trained models.",
        json_schema_extra=note(choices="list: models"),
    )
    seeds: PositiveInt = Field(
        description="Trainings of each arm, each from another seed.",
        json_schema_extra=note("trainings"),
    )
    epochs: PositiveInt = Field(
        description="Runs through an arm's images.", json_schema_extra=note("epochs")
    )
    shares: Annotated[
        tuple[Annotated[float, Field(gt=0, le=10)], ...],
        BeforeValidator(as_numbers),
        Field(strict=False),
    ] = Field(
        min_length=1,
        description="Synthetic images that are added, as shares of the real ones.",
        json_schema_extra=note("shares"),
    )
    replicates: int = Field(
        ge=20, description="Bootstrap samples an interval is from.", json_schema_extra=note("draws")
    )
