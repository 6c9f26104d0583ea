import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.conftest import make_store
from tests.data.stores import LONG_AGO, age, contents, refusal, written

from cxr_pipeline.data.batches import to_unit_interval
from cxr_pipeline.training.feature_cache import (
    MANIFEST,
    FeaturePlan,
    build_encoder,
    build_features,
    open_features,
)

SHARDS = ["shard_00000.npy", "shard_00001.npy", "shard_00002.npy"]


@pytest.fixture(scope="module")
def plan(store_224):
    """What VGG16 with random weights makes of six images in three shards."""
    return FeaturePlan(
        images=store_224,
        encoder="vgg16",
        normalise=True,
        weights=None,
        seed=0,
        accelerator="cpu",
        precision="32-true",
    )


@pytest.fixture(scope="module")
def encoder(plan):
    encoder, _ = build_encoder("vgg16", normalise=True, weights=None, seed=0)
    return encoder.eval()


@pytest.fixture(scope="module")
def cache(plan, tmp_path_factory):
    return build_features(plan, tmp_path_factory.mktemp("features"))


@pytest.fixture
def own(cache, tmp_path):
    """A copy of the features, to spoil."""
    folder = tmp_path / cache.version
    folder.mkdir()
    for name, data in contents(cache.folder).items():
        (folder / name).write_bytes(data)
    return folder


def test_features_are_the_encoder_s_own_rounded_to_float16(cache, plan, encoder):
    positions = np.array([4, 0, 3])
    features = cache.read(plan.images, positions)
    assert features.shape == (3, 512, 7, 7)
    assert features.dtype == np.float16
    with torch.no_grad():
        pixels = torch.from_numpy(plan.images.read(positions))[:, None]
        exact = encoder(to_unit_interval(pixels)).numpy()
    assert exact.max() > 0.1
    assert not np.array_equal(features[0], features[1])
    # Half of float16's last digit, and float32's rounding with other images beside it.
    np.testing.assert_allclose(features.astype(np.float32), exact, rtol=2**-11 + 1e-5, atol=1e-6)


def test_there_is_a_shard_for_each_of_the_store_s(cache):
    assert sorted(contents(cache.folder)) == [MANIFEST, *SHARDS]
    assert cache.manifest["images"] == 6
    assert cache.version == cache.folder.name
    assert cache.frozen
    assert cache.encoder["name"] == "vgg16"
    assert cache.encoder["weights"] == "random"
    assert cache.encoder["normalise"] is True
    assert len(cache.encoder["sha256"]) == 64


def test_a_second_time_nothing_is_computed(own, plan):
    age(own)
    again = build_features(plan, own.parent)
    # The manifest is dated anew: the version was used.
    assert written(own) == {MANIFEST}
    assert again.manifest == json.loads((own / MANIFEST).read_text())
    assert [path.name for path in own.parent.iterdir()] == [again.version]


@pytest.fixture(scope="module")
def fine_tuned(plan):
    """A plan that differs and takes no time: an encoder that learns has no features to compute."""
    return dataclasses.replace(plan, frozen=False)


def test_an_encoder_that_learns_has_no_features_and_is_on_record(fine_tuned, cache, tmp_path):
    empty = build_features(fine_tuned, tmp_path)
    assert not empty.frozen
    assert empty.encoder == cache.encoder
    assert empty.version != cache.version
    assert sorted(contents(empty.folder)) == [MANIFEST]
    assert open_features(empty.folder) == empty


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": "densenet121"},
        {"normalise": False},
        {"seed": 1},
        {"precision": "bf16-mixed"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_features_are_made_with_names_their_version(fine_tuned, changes, tmp_path):
    changed = build_features(dataclasses.replace(fine_tuned, **changes), tmp_path)
    assert changed.version != build_features(fine_tuned, tmp_path).version


def test_what_features_are_made_of_names_their_version(fine_tuned, few_images, tmp_path):
    other = make_store(few_images, tmp_path / "images", ["train"])
    changed = build_features(dataclasses.replace(fine_tuned, images=other), tmp_path)
    assert changed.version != build_features(fine_tuned, tmp_path).version


def test_weights_of_a_file_are_another_version_whatever_the_seed(
    fine_tuned, encoder, cache, tmp_path
):
    path = tmp_path / "weights.safetensors"
    state = {key: 2 * tensor for key, tensor in encoder.features.state_dict().items()}
    save_file(state, path)
    given = dataclasses.replace(fine_tuned, weights=str(path))
    from_file = build_features(given, tmp_path)
    assert from_file.encoder["weights"] == "file weights.safetensors"
    assert from_file.encoder["sha256"] != cache.encoder["sha256"]
    assert from_file.version != build_features(fine_tuned, tmp_path).version
    other_seed = build_features(dataclasses.replace(given, seed=1), tmp_path)
    assert other_seed.version == from_file.version


def test_killed_in_the_middle_it_keeps_what_was_finished(plan, cache, few_images, tmp_path):
    images = make_store(few_images, tmp_path / "images", ["train"] * 4 + ["validation"] * 2)
    assert images.digest == plan.images.digest
    here = dataclasses.replace(plan, images=images)
    hidden = tmp_path / "hidden.npy"
    (images.folder / SHARDS[1]).rename(hidden)
    with pytest.raises(ValueError, match="was changed while this run used it"):
        build_features(here, tmp_path / "features")
    (folder,) = (tmp_path / "features").iterdir()
    assert folder.name == cache.version
    assert sorted(contents(folder)) == SHARDS[:1]
    assert "holds no finished features" in refusal(open_features, folder)

    hidden.rename(images.folder / SHARDS[1])
    age(folder)
    finished = build_features(here, tmp_path / "features")
    assert written(folder) == {MANIFEST, *SHARDS[1:]}
    assert (folder / SHARDS[0]).stat().st_mtime_ns == LONG_AGO
    assert finished.manifest == cache.manifest
    assert contents(folder) == contents(cache.folder)


@pytest.mark.parametrize("damage", ["truncated", "absent", "longer"])
def test_a_damaged_shard_is_refused_with_the_remedy(own, plan, damage):
    shard = own / SHARDS[1]
    if damage == "absent":
        shard.unlink()
    else:
        data = shard.read_bytes()
        shard.write_bytes(data[:-2] if damage == "truncated" else data + b"\0")
    said = refusal(open_features, own)
    assert f"features '{own}': {SHARDS[1]} is damaged: delete '{own}'" in said
    assert "kedro run --pipeline=gmvae" in said
    assert refusal(build_features, plan, own.parent) == said


@pytest.mark.parametrize("text", ["", "{", "[]", '{"shards": [{}]}'])
def test_a_damaged_manifest_is_refused_with_the_remedy(own, text):
    (own / MANIFEST).write_text(text)
    said = refusal(open_features, own)
    assert f"'{own}' holds no finished features" in said
    assert f"delete '{own}'" in said


def test_features_of_another_store_are_refused(cache, few_images, tmp_path):
    other = make_store(few_images, tmp_path, ["train"] * 2)
    said = refusal(cache.read, other, np.array([0]))
    assert f"the features in '{cache.folder}' are of another image store" in said


def test_a_store_of_another_size_is_refused(plan, few_images, tmp_path):
    small = make_store(few_images, tmp_path / "images", ["train"], size=128)
    said = refusal(build_features, dataclasses.replace(plan, images=small), tmp_path / "features")
    assert "looks at 224 px images, the image store holds 128 px" in said
    assert not (tmp_path / "features").exists()


def test_features_beyond_float16_are_refused(plan, encoder, few_images, tmp_path):
    images = make_store(few_images, tmp_path / "images", ["train"])
    state = encoder.features.state_dict()
    state["0.weight"] = state["0.weight"] * 1e7
    save_file(state, tmp_path / "weights.safetensors")
    large = dataclasses.replace(plan, images=images, weights=str(tmp_path / "weights.safetensors"))
    said = refusal(build_features, large, tmp_path / "features")
    assert "beyond float16" in said
    assert "gmvae.weights" in said
    assert list((tmp_path / "features").glob("*/*")) == []


def test_weights_that_cannot_be_had_are_refused(plan, tmp_path):
    nowhere = dataclasses.replace(plan, weights=str(tmp_path / "absent.pth"))
    assert "is no file" in refusal(build_features, nowhere, tmp_path / "features")
