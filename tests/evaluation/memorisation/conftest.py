import numpy as np
import pytest
from tests.conftest import SAMPLE
from tests.evaluation.memorisation.chests import Thumbnails, image_set, read_sample

from cxr_pipeline.evaluation.memorisation.audit import TrainingImages, audit_sets

HELD_OUT_SHARE = 4
"""Every fourth patient is held out."""


@pytest.fixture(scope="session")
def chests():
    """Training images, and real images of other patients."""
    pixels, patients = read_sample(SAMPLE)
    held_out = np.isin(patients, np.unique(patients)[::HELD_OUT_SHARE])
    real = image_set("real", pixels[held_out], patients[held_out])
    return image_set("training", pixels[~held_out], patients[~held_out]), real


@pytest.fixture
def audit(chests):
    """Audit sets of samples against those images."""

    def make(*sets, real=None, training=None, extractor=None, planted=4):
        extractor = extractor or Thumbnails()
        pixels = (training or chests[0]).pixels
        return audit_sets(
            sets,
            real or chests[1],
            TrainingImages(len(pixels), lambda at: pixels[at], extractor.features(pixels)),
            extractor=extractor,
            seed=0,
            replicates=20,
            planted=planted,
        )

    return make
