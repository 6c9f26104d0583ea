"""The sample data: drawn chest X-rays with known findings, made from a seed alone.

`sample_rows` makes the label table, `draw_phantom` the picture of one of its rows, and `is_rgba`
says how its file is stored. Nothing here shows a person: every chest is drawn.
"""

from cxr_pipeline.data.phantoms.draw import draw_phantom, is_rgba
from cxr_pipeline.data.phantoms.patients import sample_rows

__all__ = ["draw_phantom", "is_rgba", "sample_rows"]
