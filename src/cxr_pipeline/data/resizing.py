"""Images of a store or a folder made smaller or larger, all alike."""

import numpy as np
import numpy.typing as npt

from cxr_pipeline.data.transforms import resize_and_crop


def resize_images(images: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Resize square images: antialiased where they shrink.

    Args:
        images: (N, S, S) uint8.
        size: The side wanted, in pixels.

    Returns:
        (N, size, size) uint8; the images themselves where they have that size.
    """
    if images.shape[1] == size:
        return images
    resized = np.empty((len(images), size, size), dtype=np.uint8)
    for image, place in zip(images, resized, strict=True):
        place[:] = resize_and_crop(image, size)
    return resized
