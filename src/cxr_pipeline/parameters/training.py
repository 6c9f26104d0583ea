"""What the parameters of every training have in common, and those of models that draw images."""

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from cxr_pipeline.data.findings import BALANCES, NO_FINDING
from cxr_pipeline.parameters.data import SelectionParameters
from cxr_pipeline.parameters.fields import (
    ClosedModel,
    NonNegativeInt,
    PositiveInt,
    Several,
    TruthOrName,
    finding,
    note,
)


def _balance_or_finding(text: str) -> str:
    return text if text in BALANCES else finding(text)


AskedFinding = Annotated[
    str,
    AfterValidator(_balance_or_finding),
    Field(json_schema_extra=note(choices="findings, `training` or `flat`")),
]


class EngineParameters(ClosedModel):
    """What every training has in common."""

    seed: int = Field(ge=0, description="Decides weights, batches and noise.")
    selection: SelectionParameters
    epochs: PositiveInt = Field(
        description="Runs through the training images.",
        json_schema_extra=note("epochs", "section 5.3"),
    )
    max_steps: PositiveInt | None = Field(
        description="Training length in steps; where it is set, it replaces `epochs`.",
        json_schema_extra=note("steps"),
    )
    batch_size: int = Field(
        ge=2, description="Images a step.", json_schema_extra=note("images", "section 5")
    )
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field(description="Where to train.")
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = Field(
        description="Floating-point numbers; auto takes what the device computes natively."
    )
    log_every: PositiveInt = Field(
        description="Steps between two lines of progress.", json_schema_extra=note("steps")
    )
    checkpoint_every: PositiveInt = Field(
        description="Steps between two checkpoints.", json_schema_extra=note("steps")
    )
    keep_checkpoints: PositiveInt = Field(
        description="How many of the latest to keep.", json_schema_extra=note("checkpoints")
    )
    data_placement: Literal["auto", "device", "memory"] = Field(
        description="Where the images are kept as training takes them: on the device, in main "
        "memory, or on the device if they fit."
    )
    compile: Annotated[Literal[False, True, "cuda_graphs"], TruthOrName] = Field(
        description="Whether to compile the networks with torch.compile, which reports its gain; "
        "cuda_graphs also records and replays a GPU's kernels."
    )
    ema_decay: float | None = Field(
        gt=0,
        lt=1,
        description="The share that the moving average of the drawing network's "
        "weights keeps at each step; null draws with the latest weights.",
        json_schema_extra=note("share a step"),
    )
    gradient_clip: float | None = Field(
        gt=0, description="The greatest norm of a gradient; null for any."
    )
    learning_rate_warmup: NonNegativeInt = Field(
        description="Steps over which the learning rate grows to its value; 0 for none.",
        json_schema_extra=note("steps"),
    )
    resume: Annotated[Literal["auto", True, False], TruthOrName] = Field(
        description="Go on from the last checkpoint: auto does so after an interruption."
    )


class TrainingParameters(EngineParameters):
    """What the training of every model that draws images has in common, and drawing from it."""

    sample_at: Annotated[tuple[Annotated[int, Field(ge=-1)], ...], Field(strict=False)] = Field(
        description="Steps after which to draw progress samples; -1 is the last.",
        json_schema_extra=note("steps", "Figs. 6 and 8"),
    )
    samples: PositiveInt = Field(
        description="Synthetic images to draw after training.", json_schema_extra=note("images")
    )
    sample_seed: int = Field(ge=0, description="Decides the synthetic images' noise.")
    temperature: float = Field(
        gt=0, le=2, description="Scales that noise; below 1, images are more typical, more alike."
    )


class ConditionalParameters(TrainingParameters):
    """Those of models that can be trained with findings, and then be asked for them."""

    sample_findings: Annotated[tuple[AskedFinding, ...], *Several] = Field(
        description="What a conditional model is asked for: findings that each image shall have, "
        "A|B; `training` (or nothing) for those of the training set, as often as there; or `flat` "
        "for each finding equally often.",
        json_schema_extra=note(source="section 5.1"),
    )

    @property
    @abstractmethod
    def asks_findings(self) -> bool:
        """Whether the model is trained with findings."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> "ConditionalParameters":
        asked = self.sample_findings
        if asked and not self.asks_findings:
            raise ValueError(
                f"sample_findings={'|'.join(asked)} cannot be asked of a model trained without "
                f"findings: set {self._remedy}, or sample_findings=[]"
            )
        if len(asked) > 1 and {*BALANCES, NO_FINDING} & set(asked):
            raise ValueError(
                f"sample_findings={'|'.join(asked)}: {', '.join(BALANCES)} and {NO_FINDING} go "
                "with no other"
            )
        return self

    @property
    def _remedy(self) -> str:
        return "conditional=true"
