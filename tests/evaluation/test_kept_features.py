import numpy as np
import pytest
from tests.evaluation.stores import store

from cxr_pipeline.evaluation.image_sets import ImageSet
from cxr_pipeline.evaluation.kept_features import kept_features, kept_features_of_rows


class Extractor:
    """Describes images by their mean and first grey level; counts those it looked at."""

    name = "means"

    def __init__(self, sha256="a"):
        self.sha256, self.seen = sha256, 0

    def features(self, pixels):
        self.seen += len(pixels)
        return np.stack([pixels.mean(axis=(1, 2)), pixels[:, 0, 0]], axis=1).astype(np.float32)


@pytest.fixture
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    facts = {"digest": "d", "seed": 0, "temperature": 1.0, "findings": [], "image_size": 8}
    return ImageSet("gan", pixels, np.arange(6), ("",) * 6, facts=facts)


def test_features_are_computed_once(images, tmp_path):
    extractor = Extractor()
    first = kept_features(tmp_path, extractor, images)
    assert np.array_equal(first, Extractor().features(images.pixels))
    assert np.array_equal(kept_features(tmp_path, extractor, images), first)
    assert extractor.seen == 6


def changed(images, **facts):
    return ImageSet(
        images.name, 255 - images.pixels, images.groups, images.labels, facts=images.facts | facts
    )


@pytest.mark.parametrize(
    "other",
    [
        lambda images: changed(images, digest="e"),
        lambda images: changed(images, seed=1),
        lambda images: changed(images, temperature=0.5),
        lambda images: changed(images, findings=["Mass"]),
        lambda images: images.take(np.array([5, 4, 3, 2, 1, 0])),
        lambda images: images.take(np.array([0, 1])),
    ],
)
def test_other_images_have_features_of_their_own(images, tmp_path, other):
    kept_features(tmp_path, Extractor(), images)
    different = other(images)
    found = kept_features(tmp_path, Extractor(), different)
    assert np.array_equal(found, Extractor().features(different.pixels))


def test_another_extractor_looks_anew(images, tmp_path):
    kept_features(tmp_path, Extractor(), images)
    other = Extractor("b")
    kept_features(tmp_path, other, images)
    assert other.seen == 6


def test_rows_of_a_store_are_described_as_the_set_of_them(few_images, tmp_path):
    images = store(few_images, tmp_path / "images", size=16)
    rows = np.array([0, 3, 5])
    found = kept_features_of_rows(tmp_path, Extractor(), images, rows)
    assert np.array_equal(found, Extractor().features(images.read(rows)))
    others = kept_features_of_rows(tmp_path, Extractor(), images, rows + 1)
    assert not np.array_equal(others, found)
