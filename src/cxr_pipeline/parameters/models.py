"""Parameters of the models: their networks, and what of their training is their own."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, computed_field, field_validator, model_validator

from cxr_pipeline.data.findings import FINDINGS
from cxr_pipeline.parameters.fields import (
    ClosedModel,
    NonNegativeInt,
    PositiveInt,
    Several,
    Share,
    as_numbers,
    note,
)
from cxr_pipeline.parameters.training import ConditionalParameters, TrainingParameters


class GanParameters(ConditionalParameters):
    """The LSGAN (the paper's section 5 and Fig. 7)."""

    conditional: bool = Field(description="Whether to train with the images' findings.")
    dim_z: PositiveInt = Field(
        description="Noise dimension Z.", json_schema_extra=note("dimensions", "Table 5")
    )
    patch_scores: bool = Field(
        description="Score four quarters of an image (Fig. 7) or the whole (the authors' code).",
        json_schema_extra=note(source="Fig. 7"),
    )
    learning_rate: float = Field(
        gt=0,
        lt=1,
        description="Adam's, for both networks.",
        json_schema_extra=note(source="section 5"),
    )
    betas: Annotated[tuple[Share, Share], Field(strict=False)] = Field(
        description="Adam's, for both networks.", json_schema_extra=note(source="section 5")
    )
    generator_steps: PositiveInt = Field(
        description="Generator steps a discriminator step.",
        json_schema_extra=note("steps", "section 5"),
    )

    @property
    def asks_findings(self) -> bool:
        """Whether the model is trained with findings."""
        return self.conditional


class VaeParameters(TrainingParameters):
    """The VAE (the paper's sections 3.1 and 5, Fig. 4)."""

    dim_z: PositiveInt = Field(
        description="Latent dimension Z.", json_schema_extra=note("dimensions", "Table 5")
    )
    learning_rate: float = Field(
        gt=0, lt=1, description="Adam's.", json_schema_extra=note(source="section 5")
    )
    beta: float = Field(
        gt=0,
        description="The KL's weight in the ELBO (section 3.1).",
        json_schema_extra=note(source="section 3.1, Fig. 5"),
    )
    kl_warmup: NonNegativeInt = Field(
        description="Steps over which that weight grows from nothing; 0 for none.",
        json_schema_extra=note("steps"),
    )
    scaling: Literal["elbo", "authors"] = Field(
        description="elbo: squared errors summed over pixels (section 3.1); authors: averaged over "
        "them, beside a KL summed over the batch (their code).",
        json_schema_extra=note(source="section 3.1, authors' code"),
    )
    centre: bool = Field(description="Whether to centre the latents' means over the batch.")
    sampler: Literal["prior", "mixture"] = Field(
        description="Draw latents from N(0, I) or from a Gaussian mixture fitted to where the "
        "training images' latents lie."
    )
    mixture_components: PositiveInt = Field(
        description="Gaussians in that mixture.", json_schema_extra=note("Gaussians")
    )


class GmvaeVersion(ClosedModel):
    """One row of the paper's Table 4."""

    dim_z: PositiveInt = Field(
        description="Latent dimension Z.", json_schema_extra=note("dimensions", "Table 4")
    )
    components: PositiveInt = Field(
        description="Gaussians K of the learned prior.",
        json_schema_extra=note("Gaussians", "Table 4"),
    )
    transition: bool = Field(
        description="Whether the encoder's head has the transition net.",
        json_schema_extra=note(source="Table 4"),
    )
    normalise: bool = Field(
        description="Whether images are normalised as ImageNet's.",
        json_schema_extra=note(source="Table 4"),
    )
    encoder: Literal["vgg16", "densenet121"] = Field(
        description="Whose features to use.", json_schema_extra=note(source="Table 4")
    )
    decoder: Literal["linear", "1", "2"] = Field(
        description="Which decoder; Tables 2 and 3.", json_schema_extra=note(source="Table 4")
    )
    conditional: bool = Field(
        description="Whether it is given the findings (FS-GMVAE).",
        json_schema_extra=note(source="Table 4"),
    )

    def architecture(self) -> dict[str, object]:
        """The row as diagrams and counts take it: with NIH's findings, if it is given any."""
        architecture = self.model_dump()
        conditional = architecture.pop("conditional")
        return architecture | {"findings": len(FINDINGS) if conditional else 0}


class GmvaeParameters(ConditionalParameters):
    """The GMVAE and FS-GMVAE (the paper's section 5.1, Tables 2 to 4)."""

    image_size: Literal[224] = Field(
        description="Side of the images, in pixels (section 4).",
        json_schema_extra=note("pixels", "section 4"),
    )
    version: str = Field(
        description="Which row of `versions`.",
        json_schema_extra=note(source="Table 4", choices="a row of `gmvae.versions`"),
    )
    versions: dict[str, GmvaeVersion] = Field(
        description="Table 4; a row more is a version more.",
        exclude=True,
        json_schema_extra=note(source="Table 4", choices="a name, then the parameters below"),
    )
    weights: str | None = Field(
        description="The encoder's: imagenet (downloaded by torchvision), a local file, or null "
        "for random ones.",
        json_schema_extra=note(source="section 5.1", choices="`imagenet`, a file"),
    )
    fine_tune: bool = Field(
        description="Whether to train the encoder too, or to compute its features once.",
        json_schema_extra=note(source="Table 5"),
    )
    reconstruction: Literal["mse", "bce"] = Field(
        description="Squared error or cross entropy.", json_schema_extra=note(source="section 5.1")
    )
    learning_rate: float = Field(
        gt=0, lt=1, description="Adam's.", json_schema_extra=note(source="section 5")
    )
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

    betas: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...],
        BeforeValidator(as_numbers),
        Field(strict=False),
    ] = Field(
        min_length=1,
        description="`vae.beta` of each training; all else is as `vae` says.",
        json_schema_extra=note(source="Fig. 5"),
    )


class GmvaeSweepParameters(ClosedModel):
    """The GMVAE trained once for each version (the paper's Figs. 1 to 3)."""

    versions: Annotated[tuple[str, ...], *Several] = Field(
        description="Rows of `gmvae.versions`; empty for all.",
        json_schema_extra=note(source="Figs. 1 to 3", choices="list: rows of `gmvae.versions`"),
    )
