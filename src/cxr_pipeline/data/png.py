"""Pictures to PNG bytes, the same for the same pixels."""

import cv2
import numpy as np
import numpy.typing as npt


def encode_png(picture: npt.NDArray[np.uint8], *, rgba: bool = False) -> bytes:
    """Encode a grey picture.

    Args:
        picture: (H, W) uint8.
        rgba: Write it as RGBA with R = G = B and alpha 255, as some of NIH's images are.

    Raises:
        ValueError: If `picture` is not a two-dimensional uint8 array.
    """
    if picture.ndim != 2 or picture.dtype != np.uint8:
        raise ValueError(
            f"picture: shape {picture.shape}, dtype {picture.dtype}: give a (H, W) uint8 array"
        )
    pixels = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGRA) if rgba else picture
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done
    return data.tobytes()
