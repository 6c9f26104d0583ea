"""Where on the page each table and figure of the paper stands."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple


class PaperItem(NamedTuple):
    """A table or figure of the paper."""

    name: str
    shows: str
    anchor: str
    """Of the part of the page that corresponds to it."""
    file: str = ""
    """Without which it is not there, in the reporting folder, as a pattern; nothing where it is
    always there."""
    pipeline: str = ""
    """What makes it."""


PAPER_ITEMS = (
    PaperItem("Table 1", "images a finding", "table-1", "class_counts.csv", "labels"),
    PaperItem("Table 2", "decoder 1", "table-2", "layers_decoder_1.csv", "reporting"),
    PaperItem("Table 3", "decoder 2", "table-3", "layers_decoder_2.csv", "reporting"),
    PaperItem("Table 4", "GMVAE versions", "table-4", "gmvae_versions.csv", "reporting"),
    PaperItem("Table 5", "parameter counts", "table-5", "parameter_counts.csv", "reporting"),
    PaperItem("Table 5", "training times", "times", "training_times.csv", "gan"),
    PaperItem(
        "Figs. 1 to 3",
        "samples of each GMVAE version",
        "figs-1-to-3",
        "gmvae_sweep/samples.png",
        "gmvae_sweep",
    ),
    PaperItem("Fig. 4", "the VAE's networks", "fig-4"),
    PaperItem(
        "Fig. 5", "VAE loss for each beta", "fig-5", "vae_beta_sweep/history.csv",
        "vae_beta_sweep",
    ),
    PaperItem("Fig. 6", "VAE samples as training went on", "fig-6", "vae/progress/*.png", "vae"),
    PaperItem("Fig. 7", "the GAN's networks", "fig-7"),
    PaperItem("Fig. 8", "GAN samples as training went on", "fig-8", "gan/progress/*.png", "gan"),
    PaperItem("Fig. 9", "GAN losses", "fig-9", "gan/history.csv", "gan"),
    PaperItem(
        "Fig. 10",
        "images after the transform",
        "fig-10",
        "transformed_images.png",
        "preprocessing",
    ),
)  # fmt: skip

VERSION_FIGURES = {
    **dict.fromkeys(("fs_v1", "fs_v2", "fs_v3"), "Fig. 1"),
    **dict.fromkeys(("v3", "v4", "v5"), "Fig. 2"),
    **dict.fromkeys(("v6", "v7", "v8"), "Fig. 3"),
}
"""The figure that shows each version's samples."""


def paper_index(reports: Path, untrained: Collection[str] = ()) -> list[tuple[PaperItem, bool]]:
    """List the paper's tables and figures, each with whether this project has made it yet.

    Args:
        reports: The reporting folder.
        untrained: Models whose parts of the page are left out, whatever files they have.
    """
    return [
        (item, not item.file or (not _is_left_out(item, untrained) and _is_made(item, reports)))
        for item in PAPER_ITEMS
    ]


def _is_left_out(item: PaperItem, untrained: Collection[str]) -> bool:
    return item.pipeline in untrained and item.file.startswith(f"{item.pipeline}/")


def _is_made(item: PaperItem, reports: Path) -> bool:
    """Whether its file is there, and more than the header of a table."""
    return any(
        path.suffix != ".csv" or len(path.read_text().splitlines()) > 1
        for path in reports.glob(item.file)
    )
