"""Sample images as training images and held-out ones, and a set of features to compare them by."""

import cv2
import numpy as np
import pandas as pd

from cxr_pipeline.data.transforms import Transform, transform
from cxr_pipeline.evaluation.image_sets import ImageSet

HELD_OUT_PATIENTS = 4


def read_sample(folder, size=64):
    """All sample images and their patients, those with most images last."""
    table = pd.read_csv(folder / "Data_Entry_2017_v2020.csv")
    how = Transform(size, equalise=True)
    names = table["Image Index"]
    images = [cv2.imread(str(folder / "images" / name), cv2.IMREAD_GRAYSCALE) for name in names]
    return np.stack([transform(image, how) for image in images]), table["Patient ID"].to_numpy()


def image_set(name, pixels, groups=None, **facts):
    own = np.arange(len(pixels)) if groups is None else groups
    return ImageSet(name, pixels, own, ("",) * len(pixels), facts={"digest": f"of {name}", **facts})


class Thumbnails:
    """Features: an image at 8 x 8 pixels."""

    name, sha256 = "thumbnails", "ef" * 32

    def features(self, pixels):
        small = [cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA) for image in pixels]
        return np.asarray(small, dtype=np.float32).reshape(len(pixels), 64)
