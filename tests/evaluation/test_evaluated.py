import shutil

import numpy as np
import pytest
from tests.evaluation.stores import SPLITS, gmvae, keep_model, store

from cxr_pipeline import load_generator
from cxr_pipeline.data.batches import to_pixels
from cxr_pipeline.data.png import encode_png
from cxr_pipeline.evaluation.evaluated import gather, held_out_set, trained_models


@pytest.fixture(scope="module")
def images(few_images, tmp_path_factory):
    return store(few_images, tmp_path_factory.mktemp("images"))


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


def evaluate(images, models, tmp_path, stores=(), **changes):
    asked = {"wanted": (), "synthetic_dir": None, "samples": 3, "most_real": 100}
    asked["splits"] = ("validation", "test")
    roots = [images.folder.parent, *stores]
    return gather(images, models, roots, tmp_path / "kept", **(asked | changes))


def test_a_model_is_evaluated_on_the_images_that_it_exports(images, models, tmp_path):
    config = keep_model(models, images)
    (samples,) = evaluate(images, models, tmp_path).samples
    drawn = load_generator(models / "gan").sample(3, seed=3)
    assert np.array_equal(samples.pixels, to_pixels(drawn)[:, 0].numpy())
    assert (samples.name, samples.labels) == ("gan", ("", "", ""))
    assert samples.facts["digest"] == config["weights_sha256"]
    assert len(set(samples.groups)) == 3


def test_real_images_are_those_held_out_and_nothing_names_them(images, models, tmp_path):
    keep_model(models, images)
    found = evaluate(images, models, tmp_path)
    assert np.array_equal(found.real.pixels, images.read(np.arange(6, 12)))
    own = images.index["patient"].iloc[6:12]
    assert [(a == b) for a in found.real.groups for b in found.real.groups] == [
        (a == b) for a in own for b in own
    ]
    told = repr((found.real.facts, found.real.groups))
    assert not any(name in told for name in images.index["image"])


def test_of_many_real_images_some_are_taken_from_all_over(images):
    some = held_out_set(images, ("validation", "test"), 3)
    assert np.array_equal(some.pixels, images.read(np.array([6, 8, 11])))
    assert len(held_out_set(images, ("test",), 100)) == 4


def test_splits_without_an_image_are_named(few_images, tmp_path):
    nobody = store(few_images, tmp_path, ["train"] * 4)
    with pytest.raises(ValueError, match=r"no image .* evaluation\.splits=test: set it"):
        held_out_set(nobody, ("test",), 3)


def test_a_model_of_another_size_of_the_same_images_is_resized(
    few_images, images, models, tmp_path
):
    large = store(few_images, tmp_path / "images_224", size=224)
    keep_model(models, large, made=gmvae)
    found = evaluate(images, models, tmp_path, [large.folder.parent], samples=1)
    assert found.samples[0].pixels.shape == (1, 128, 128)
    (block,) = found.samples[0].drawn  # as it is exported
    assert np.load(block).shape == (1, 224, 224)
    assert not found.missing


def refused(images, models, tmp_path, stores):
    with pytest.raises(ValueError, match=r"gmvae: .*: train it on these images") as caught:
        evaluate(images, models, tmp_path, stores)
    return str(caught.value)


def test_a_model_that_has_seen_patients_held_out_is_not_evaluated(
    few_images, images, models, tmp_path
):
    leaked = store(few_images, tmp_path / "other", ["train"] * 8 + ["test"] * 4, size=224)
    keep_model(models, leaked, made=gmvae)
    said = refused(images, models, tmp_path, [leaked.folder.parent])
    assert "was trained on patients that are held out here" in said


def test_a_model_that_has_seen_images_where_no_copies_are_looked_for_is_not_evaluated(
    few_images, images, models, tmp_path
):
    # The validation images of this store were trained on; only the test images are held out.
    other = store(few_images, tmp_path / "other", ["train"] * 8 + ["test"] * 4, size=224)
    keep_model(models, other, made=gmvae)
    with pytest.raises(ValueError, match="trained on images that this store does not train on"):
        evaluate(images, models, tmp_path, [other.folder.parent], splits=("test",))


def test_a_model_of_other_images_is_not_evaluated(few_images, images, models, tmp_path):
    more = store(few_images, tmp_path / "other", [*SPLITS, *["train"] * 20], size=224)
    keep_model(models, more, made=gmvae)
    assert "trained on" in refused(images, models, tmp_path, [more.folder.parent])
    shutil.rmtree(more.folder)
    assert "a store that is not there any more" in refused(images, models, tmp_path, [])


def test_what_cannot_be_evaluated_leaves_the_others(images, models, tmp_path, caplog):
    keep_model(models, images)
    (models / "vae").mkdir()
    (models / "vae/config.json").write_text("{")
    found = evaluate(images, models, tmp_path)
    assert [one.name for one in found.samples] == ["gan"]
    assert [row.model for row in found.missing] == ["vae"]
    assert "vae is not evaluated" in caplog.text


def test_a_folder_of_images_is_evaluated_beside_the_models(images, models, tmp_path):
    keep_model(models, images)
    folder = tmp_path / "gan"  # a model's name
    folder.mkdir()
    picture = np.full((40, 60), 7, dtype=np.uint8)
    (folder / "one.png").write_bytes(encode_png(picture))
    found = evaluate(images, models, tmp_path, synthetic_dir=str(folder))
    assert [one.name for one in found.samples] == ["gan", "gan folder"]
    assert found.samples[1].pixels.shape == (1, 128, 128)
    digests = [one.facts["digest"] for one in found.samples]
    assert digests[0] != digests[1]


def test_with_nothing_to_evaluate_it_says_what_to_do(images, models, tmp_path):
    assert trained_models(models) == []
    with pytest.raises(ValueError, match=r"kedro run --pipeline=gan.*evaluation\.synthetic_dir"):
        evaluate(images, models, tmp_path)
