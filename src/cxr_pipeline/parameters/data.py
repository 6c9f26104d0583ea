"""Parameters of the data: from the web to the image store."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cxr_pipeline.data.label_files import LabelSource
from cxr_pipeline.data.labels import OLDEST_AGE
from cxr_pipeline.data.selection import Selection
from cxr_pipeline.data.splits import SplitSource
from cxr_pipeline.data.transforms import Transform
from cxr_pipeline.parameters.fields import (
    ClosedModel,
    FindingName,
    PositiveInt,
    Several,
    Share,
    TruthOrName,
    note,
)


class SampleDataParameters(ClosedModel):
    """The drawn chest phantoms that the project is tried on."""

    seed: int = Field(ge=0, description="Another seed, other patients.")
    patients: PositiveInt = Field(description="Patients drawn.", json_schema_extra=note("patients"))
    images: PositiveInt = Field(
        description="Images of all patients together.", json_schema_extra=note("images")
    )
    size: int = Field(
        ge=64, description="Side of the images, in pixels.", json_schema_extra=note("pixels")
    )


class RemoteFileParameters(ClosedModel):
    """A file on the web; what is not known of it is null."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="What it is called in the folder."
    )
    url: Annotated[str, Field(pattern=r"^https?://")] | None = Field(
        description="Where it is; null if it is put into the folder by hand."
    )
    size: PositiveInt | None = Field(
        default=None, description="Bytes.", json_schema_extra=note("bytes")
    )
    md5: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{32}$")] | None = Field(
        default=None, description="MD5, in hexadecimal."
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$")] | None = Field(
        default=None, description="SHA-256, in hexadecimal."
    )


class DownloadParameters(ClosedModel):
    """What to fetch of ChestX-ray14, and where to."""

    folder: str = Field(min_length=1, description="Where to; later the `raw_dir`.")
    attempts: PositiveInt = Field(
        description="Requests in a row, for one file, that may bring nothing new.",
        json_schema_extra=note("requests"),
    )
    timeout: float = Field(
        gt=0, description="Seconds without a sign of the server.", json_schema_extra=note("seconds")
    )
    keep_archives: bool = Field(description="Whether archives stay after they are unpacked.")
    max_unpacked_gb: float = Field(
        gt=0, description="What one archive may unpack to, in GB.", json_schema_extra=note("GB")
    )
    label_file: RemoteFileParameters
    archives: Annotated[tuple[RemoteFileParameters, ...], Field(strict=False)] = Field(
        description="Tars of images, gzipped or not."
    )

    @model_validator(mode="after")
    def _gives_archives_folders_that_are_looked_into(self) -> "DownloadParameters":
        names = [archive.name for archive in self.archives]
        for name in names:
            if not re.fullmatch(r"images_[A-Za-z0-9_-]+\.tar(\.gz)?", name):
                raise ValueError(
                    f"archive '{name}' must be called images_*.tar.gz or images_*.tar: "
                    "its folder is found by that name"
                )
        if len({name.split(".")[0] for name in names}) < len(names):
            raise ValueError(f"two archives become the same folder: rename one of {names}")
        return self


class LabelParameters(ClosedModel):
    """Which labels to read, and how patients are held out."""

    source: LabelSource = Field(
        description="Whose labels, where raw_dir holds NIH's and NIH-CXR-LT's.",
        json_schema_extra=note(source="Table 1"),
    )
    splits: SplitSource = Field(
        description="NIH's official lists, NIH-CXR-LT's own, or a hash by patient; auto takes the "
        "labels' own where they have one, else the hash."
    )
    validation: Share = Field(
        description="Expected share of patients in the validation split; with NIH's lists, of "
        "those in train_val_list.txt.",
        json_schema_extra=note("share of patients"),
    )
    test: Share = Field(
        description="Expected share of patients in the test split, by hash.",
        json_schema_extra=note("share of patients"),
    )
    seed: int = Field(ge=0, description="Another seed, another partition of the patients.")

    @model_validator(mode="after")
    def _leaves_patients_to_train_on(self) -> "LabelParameters":
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must stay below 1")
        return self


class SelectionParameters(ClosedModel):
    """Which images to take, by their labels; empty and null leave a matter open."""

    findings: Annotated[tuple[FindingName, ...], *Several] = Field(
        description="Images with at least one of these; No Finding is one.",
        json_schema_extra=note(source="authors' code"),
    )
    views: Annotated[tuple[Literal["PA", "AP"], ...], *Several] = Field(
        description="View positions."
    )
    sexes: Annotated[tuple[Literal["M", "F"], ...], *Several] = Field(description="Sexes.")
    youngest: Annotated[int, Field(ge=0, le=OLDEST_AGE)] | None = Field(
        description="Lowest age, in years.", json_schema_extra=note("years")
    )
    oldest: Annotated[int, Field(ge=0, le=OLDEST_AGE)] | None = Field(
        description="Highest age, in years.", json_schema_extra=note("years")
    )
    one_image_a_patient: bool = Field(
        description="Of what is left of a patient, only the first image in the label file."
    )

    @model_validator(mode="after")
    def _ages_in_order(self) -> "SelectionParameters":
        if self.youngest is not None and self.oldest is not None and self.youngest > self.oldest:
            raise ValueError(f"youngest must not be above oldest={self.oldest}")
        return self

    def selection(self) -> Selection:
        """The same as the data room takes it."""
        return Selection(**self.model_dump())


class PreprocessingParameters(ClosedModel):
    """From image files to the image store (the paper's section 4)."""

    selection: SelectionParameters
    size: int = Field(
        ge=16,
        le=1024,
        description="Side of the stored images, in pixels.",
        json_schema_extra=note("pixels", "section 4, Table 5"),
    )
    equalise: Annotated[Literal[True, False, "clahe"], TruthOrName] = Field(
        description="Whether to equalise each image's histogram: as a whole (true) or by tiles.",
        json_schema_extra=note(source="section 4"),
    )
    clahe_clip_limit: float = Field(
        gt=0,
        le=40,
        description="With clahe: a tile's contrast limit, in flat histogram bins.",
        json_schema_extra=note("flat histogram bins"),
    )
    clahe_tiles: int = Field(
        ge=1, le=64, description="With clahe: tiles a side.", json_schema_extra=note("tiles a side")
    )
    shard_size: PositiveInt = Field(description="Images a shard.", json_schema_extra=note("images"))
    max_pixels: PositiveInt = Field(
        description="Images that claim more pixels are quarantined, not decoded.",
        json_schema_extra=note("pixels"),
    )
    follow_links: bool = Field(description="Read images behind links that lead out of raw_dir.")
    max_quarantined: float = Field(
        ge=0,
        le=1,
        description="Share of images that may be unusable before the run stops.",
        json_schema_extra=note("share of images"),
    )
    sheet: Literal["after", "pairs"] = Field(
        description="What transformed_images.png shows: images after the transform (Fig. 10), or "
        "each beside what it was before, whole: both go to the report and to MLflow.",
        json_schema_extra=note(source="Fig. 10"),
    )
    workers: PositiveInt | None = Field(
        description="Shards made at a time; null is one a core.", json_schema_extra=note("shards")
    )
    dask_scheduler: str | None = Field(
        description="Address of a Dask scheduler whose workers build instead, tcp://host:8786."
    )
    verify: bool = Field(
        description="Read the images of a store that is there, and mend what differs; else their "
        "names, sizes and times are trusted."
    )

    def plan(self, size: int) -> dict[str, Any]:
        """The same as `plan_store` takes it, for images of a size."""
        own = self.model_dump(exclude={"selection", "sheet"}) | {"size": size}
        how = {name: own.pop(name) for name in Transform.__dataclass_fields__}
        return {"how": Transform(**how), "selection": self.selection.selection(), **own}


class PruneParameters(ClosedModel):
    """How many old versions are kept."""

    stores: PositiveInt = Field(
        description="Kept in each folder of image stores, and of features: those used last.",
        json_schema_extra=note("versions"),
    )
    arrays: PositiveInt = Field(
        description="Kept of what evaluations drew, and of features that they computed: those used "
        "last.",
        json_schema_extra=note("sets of images"),
    )
    models: PositiveInt = Field(
        description="Finished MLflow runs of each model that keep it.",
        json_schema_extra=note("runs"),
    )
    dry_run: bool = Field(description="Only say what would be removed.")
