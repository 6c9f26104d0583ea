"""The node that draws the sample data."""

from cxr_pipeline.data.phantoms import draw_phantom, is_rgba, sample_rows
from cxr_pipeline.data.png import encode_png
from cxr_pipeline.data.raw_folder import RawFolder
from cxr_pipeline.parameters.data import SampleDataParameters


def draw_sample_data(parameters: SampleDataParameters) -> RawFolder:
    """Draw chest phantoms as a data set with NIH's names and layout."""
    seed = parameters.seed
    table = sample_rows(seed, patients=parameters.patients, images=parameters.images)
    rows = table.to_dict("records")
    return RawFolder(
        label_file="Data_Entry_2017_v2020.csv",
        table=table,
        images=(
            (
                row["Image Index"],
                encode_png(draw_phantom(row, seed, parameters.size), rgba=is_rgba(row, seed)),
            )
            for row in rows
        ),
        provenance={
            "synthetic": True,
            "drawn_by": "cxr_pipeline.data.phantoms",
            **parameters.model_dump(),
        },
    )
