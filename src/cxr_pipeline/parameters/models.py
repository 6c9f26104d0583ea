"""Parameters of the models: networks, training, sampling."""

import re
from abc import abstractmethod
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, computed_field, field_validator, model_validator

from cxr_pipeline.data.findings import BALANCES, FINDINGS, NO_FINDING
from cxr_pipeline.parameters.data import SelectionParameters
from cxr_pipeline.parameters.fields import (
    ClosedModel,
    PositiveInt,
    Several,
    Share,
    TruthOrName,
    as_list,
    finding,
)

NonNegativeInt = Annotated[int, Field(ge=0)]


def _balance_or_finding(text: str) -> str:
    return text if text in BALANCES else finding(text)


AskedFinding = Annotated[str, AfterValidator(_balance_or_finding)]


class TrainingParameters(ClosedModel):
    """What the training of every model has in common, and drawing from it."""

    seed: int = Field(ge=0, description="Decides weights, batches and noise.")
    selection: SelectionParameters
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
    keep_checkpoints: PositiveInt = Field(description="How many of the latest to keep.")
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
    )
    gradient_clip: float | None = Field(
        gt=0, description="The greatest norm of a gradient; null for any."
    )
    learning_rate_warmup: NonNegativeInt = Field(
        description="Steps over which the learning rate grows to its value; 0 for none."
    )
    resume: Annotated[Literal["auto", True, False], TruthOrName] = Field(
        description="Go on from the last checkpoint: auto does so after an interruption."
    )
    samples: PositiveInt = Field(description="Synthetic images to draw after training.")
    sample_seed: int = Field(ge=0, description="Decides the synthetic images' noise.")
    temperature: float = Field(
        gt=0, le=2, description="Scales that noise; below 1, images are more typical, more alike."
    )


class ConditionalParameters(TrainingParameters):
    """Those of models that can be trained with findings, and then be asked for them."""

    sample_findings: Annotated[tuple[AskedFinding, ...], *Several] = Field(
        description="What a conditional model is asked for: findings that each image shall have, "
        "A|B; `training` (or nothing) for those of the training set, as often as there; or `flat` "
        "for each finding equally often."
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


class GanParameters(ConditionalParameters):
    """The LSGAN (the paper's section 5 and Fig. 7)."""

    conditional: bool = Field(
        description="Whether to train with the images' findings; beyond the paper."
    )
    dim_z: PositiveInt = Field(description="Noise dimension Z.")
    patch_scores: bool = Field(
        description="Score four quarters of an image (Fig. 7) or the whole (the authors' code)."
    )
    learning_rate: float = Field(gt=0, lt=1, description="Adam's, for both networks.")
    betas: Annotated[tuple[Share, Share], Field(strict=False)] = Field(
        description="Adam's, for both networks."
    )
    generator_steps: PositiveInt = Field(description="Generator steps a discriminator step.")

    @property
    def asks_findings(self) -> bool:
        """Whether the model is trained with findings."""
        return self.conditional


class VaeParameters(TrainingParameters):
    """The VAE (the paper's sections 3.1 and 5, Fig. 4)."""

    dim_z: PositiveInt = Field(description="Latent dimension Z.")
    learning_rate: float = Field(gt=0, lt=1, description="Adam's.")
    beta: float = Field(gt=0, description="The KL's weight in the ELBO (section 3.1).")
    kl_warmup: NonNegativeInt = Field(
        description="Steps over which that weight grows from nothing; 0 for none."
    )
    scaling: Literal["elbo", "authors"] = Field(
        description="elbo: squared errors summed over pixels (section 3.1); authors: averaged over "
        "them, beside a KL summed over the batch (their code)."
    )
    centre: bool = Field(
        description="Whether to centre the latents' means over the batch; beyond the paper."
    )
    sampler: Literal["prior", "mixture"] = Field(
        description="Draw latents from N(0, I) or from a Gaussian mixture fitted to where the "
        "training images' latents lie; beyond the paper."
    )
    mixture_components: PositiveInt = Field(description="Gaussians in that mixture.")


class GmvaeVersion(ClosedModel):
    """One row of the paper's Table 4."""

    dim_z: PositiveInt = Field(description="Latent dimension Z.")
    components: PositiveInt = Field(description="Gaussians K of the learned prior.")
    transition: bool = Field(description="Whether the encoder's head has the transition net.")
    normalise: bool = Field(description="Whether images are normalised as ImageNet's.")
    encoder: Literal["vgg16", "densenet121"] = Field(description="Whose features to use.")
    decoder: Literal["linear", "1", "2"] = Field(description="Which decoder; Tables 2 and 3.")
    conditional: bool = Field(description="Whether it is given the findings (FS-GMVAE).")

    def architecture(self) -> dict[str, object]:
        """The row as diagrams and counts take it: with NIH's findings, if it is given any."""
        architecture = self.model_dump()
        conditional = architecture.pop("conditional")
        return architecture | {"findings": len(FINDINGS) if conditional else 0}


class GmvaeParameters(ConditionalParameters):
    """The GMVAE and FS-GMVAE (the paper's section 5.1, Tables 2 to 4)."""

    image_size: Literal[224] = Field(description="Side of the images, in pixels (section 4).")
    version: str = Field(description="Which row of `versions`.")
    versions: dict[str, GmvaeVersion] = Field(description="Table 4.", exclude=True)
    weights: str | None = Field(
        description="The encoder's: imagenet (downloaded by torchvision), a local file, or null "
        "for random ones."
    )
    fine_tune: bool = Field(
        description="Whether to train the encoder too, or to compute its features once."
    )
    reconstruction: Literal["mse", "bce"] = Field(description="Squared error or cross entropy.")
    learning_rate: float = Field(gt=0, lt=1, description="Adam's.")
    beta: float = Field(gt=0, description="The KL's weight in the ELBO.")

    @field_validator("versions")
    @classmethod
    def _names_fit_for_folders(cls, versions: dict[str, GmvaeVersion]) -> dict[str, GmvaeVersion]:
        for name in versions:
            if not re.fullmatch(r"[a-z0-9_]+", name):
                raise ValueError(f"version {name!r}: use small letters, digits and _ alone")
        return versions

    @model_validator(mode="after")
    def _version_is_a_row(self) -> "GmvaeParameters":
        if self.version not in self.versions:
            raise ValueError(
                f"unknown version={self.version}: choose from {', '.join(self.versions)}"
            )
        return self

    @computed_field(description="The version's row.")  # type: ignore[prop-decorator]
    @property
    def row(self) -> GmvaeVersion:
        """The version's row of `versions`."""
        return self.versions[self.version]

    @property
    def asks_findings(self) -> bool:
        """Whether the version is trained with findings."""
        return self.version in self.versions and self.row.conditional

    @property
    def _remedy(self) -> str:
        return "a version fs_..."


class VaeBetaSweepParameters(ClosedModel):
    """The VAE trained once for each beta (the paper's Fig. 5)."""

    betas: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False)] = Field(
        min_length=1, description="`vae.beta` of each training; all else is as `vae` says."
    )

    @field_validator("betas", mode="before")
    @classmethod
    def _as_typed(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [float(part) for part in as_list(value)]
        return [value] if isinstance(value, int | float) else value


class GmvaeSweepParameters(ClosedModel):
    """The GMVAE trained once for each version (the paper's Figs. 1 to 3)."""

    versions: Annotated[tuple[str, ...], *Several] = Field(
        description="Rows of `gmvae.versions`; empty for all."
    )
