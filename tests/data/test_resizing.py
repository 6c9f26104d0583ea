import numpy as np

from cxr_pipeline.data.resizing import resize_images


def test_images_shrink_by_averaging_and_stay_where_they_have_the_size():
    images = np.zeros((2, 8, 8), dtype=np.uint8)
    images[1, ::2, ::2] = 200
    small = resize_images(images, 4)
    assert small.shape == (2, 4, 4)
    assert (small[0] == 0).all()
    assert (small[1] == 50).all()
    assert resize_images(images, 8) is images
