import hashlib

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.conftest import SAMPLE
from torchvision.models import inception_v3

from cxr_pipeline.data.transforms import Transform, transform
from cxr_pipeline.evaluation.extractors import build_extractors
from cxr_pipeline.models.classifier import Classifier
from cxr_pipeline.models.digest import weights_digest
from cxr_pipeline.training.classifier import ImageClassifier

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    network = Classifier("small", 2)
    weights = {f"classifier.{key}": t for key, t in network.state_dict().items()}
    config = {
        "network": "small",
        "entries": ["Mass", "Effusion"],
        "image_size": 32,
        "weights_sha256": weights_digest(weights),
    }
    return ImageClassifier(config, weights, accelerator="cpu")


@pytest.fixture
def build(classifier):
    def build(*names, seed=0, **changes):
        return build_extractors(
            names, classifier=classifier, seed=seed, accelerator="cpu", **changes
        )

    return build


def xray_state(seed=0):
    """As torchxrayvision keeps its DenseNet: beside the features what is of no use here."""
    torch.manual_seed(seed)
    features = {
        f"features.{k}": t for k, t in Classifier("densenet121", 1).body.state_dict().items()
    }
    return features | {"classifier.weight": torch.zeros(18, 1024), "op_threshs": torch.zeros(18)}


def checked(extractor, columns, pixels=PIXELS):
    features = extractor.features(pixels)
    assert (features.shape, features.dtype) == ((len(pixels), columns), np.float32)
    assert extractor.dimensions == columns
    assert np.isfinite(features).all()
    assert not np.allclose(features[0], features[1])
    return features


def test_the_classifier_s_features_are_its_own(build, classifier):
    (extractor,), _ = build("classifier")
    assert np.array_equal(checked(extractor, 128), classifier.features(PIXELS))
    assert (extractor.name, extractor.sha256) == ("classifier", classifier.sha256)


def test_the_random_network_follows_from_the_seed_alone(build):
    (first,), _ = build("random")
    torch.manual_seed(7)
    (again,), _ = build("random")
    (other,), _ = build("random", seed=1)
    features = checked(first, 240)
    assert np.array_equal(features, again.features(PIXELS))
    assert first.sha256 == again.sha256 != other.sha256
    assert not np.allclose(features, other.features(PIXELS))


def test_building_it_leaves_torch_s_own_numbers_alone(build):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    build("random")
    assert torch.equal(torch.rand(1), expected)


def test_the_random_network_sees_blur_grain_and_brightness(build):
    (extractor,), _ = build("random")
    files = sorted((SAMPLE / "images").glob("*.png"))[::8]
    how = Transform(size=128, equalise=True)
    images = np.stack([transform(cv2.imread(str(f), cv2.IMREAD_GRAYSCALE), how) for f in files])
    reference, others = images[::2], images[1::2]
    grain = np.random.default_rng(0).normal(0, 15, others.shape)
    sets = {
        "floor": others,
        "blurred": np.stack([cv2.GaussianBlur(image, (0, 0), 1.5) for image in others]),
        "grainy": np.clip(others + grain, 0, 255).astype(np.uint8),
        "dark": (others * 0.8).astype(np.uint8),
    }
    centre = extractor.features(reference).mean(axis=0)
    off = {
        name: float(np.linalg.norm(extractor.features(some).mean(axis=0) - centre))
        for name, some in sets.items()
    }
    floor = off.pop("floor")
    assert {name: value > 2 * floor for name, value in off.items()} == dict.fromkeys(off, True)


def test_batches_and_sizes_make_no_difference(build):
    (extractor,), _ = build("random")
    many = np.random.default_rng(1).integers(0, 256, (40, 128, 128), dtype=np.uint8)
    alone = np.concatenate([extractor.features(many[i : i + 1]) for i in range(40)])
    assert np.allclose(extractor.features(many), alone, atol=1e-4)
    doubled = many.repeat(2, axis=1).repeat(2, axis=2)
    assert np.allclose(extractor.features(doubled), extractor.features(many), atol=1e-4)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_torchxrayvision_s_densenet_comes_from_a_file(build, tmp_path, suffix):
    path, state = tmp_path / f"xray{suffix}", xray_state()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (extractor,), _ = build("torchxrayvision", weights=str(path), weights_sha256=digest)
    assert extractor.sha256 == digest
    features = checked(extractor, 1024)
    torch.manual_seed(0)
    body = Classifier("densenet121", 1).body.eval()
    same_size = np.random.default_rng(2).integers(0, 256, (1, 224, 224), dtype=np.uint8)
    scaled = torch.from_numpy(same_size).float()[:, None] / 255 * 2048 - 1024
    with torch.no_grad():
        expected = body(scaled).relu().mean(dim=(2, 3)).numpy()
    assert np.allclose(extractor.features(same_size), expected, rtol=1e-3, atol=1e-3)
    assert features.min() >= 0


def test_inception_comes_from_a_file(build, tmp_path):
    torch.manual_seed(0)
    network = inception_v3(init_weights=False, aux_logits=True, transform_input=True)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):  # else hardly anything of an image arrives
            torch.nn.init.kaiming_normal_(layer.weight)
    path = tmp_path / "inception.pth"
    torch.save(network.state_dict(), path)
    (extractor,), _ = build("inception", weights=str(path))
    features = checked(extractor, 2048)
    network.fc = torch.nn.Identity()
    images = torch.from_numpy(
        np.stack(
            [cv2.resize(image, (299, 299), interpolation=cv2.INTER_LINEAR) for image in PIXELS]
        )
    )[:, None].expand(-1, 3, -1, -1)
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        expected = network.eval()((images / 255 - mean) / std).numpy()
    assert np.allclose(features, expected, rtol=1e-3, atol=1e-3 * expected.std())


def obstacle(build, name, path, **changes):
    """Why an extractor could not be built; the others still are."""
    built, obstacles = build("classifier", name, "random", weights=path, **changes)
    assert [extractor.name for extractor in built] == ["classifier", "random"]
    assert list(obstacles) == [name]
    assert "\n" not in obstacles[name]
    return obstacles[name]


def test_a_file_of_another_hash_stops_its_extractor_alone(build, tmp_path):
    path = tmp_path / "xray.safetensors"
    save_file(xray_state(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    line = obstacle(build, "torchxrayvision", str(path), weights_sha256="0" * 64)
    assert line == (
        f"evaluation.weights='{path}' has SHA-256 {digest}, not evaluation.weights_sha256="
        f"{'0' * 64}: give the right file, or set weights_sha256 to its own"
    )


def test_a_pickled_network_is_refused_unrun_with_the_remedy(build, tmp_path):
    path = tmp_path / "network.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    line = obstacle(build, "torchxrayvision", str(path))
    assert "cannot be read as tensors alone" in line
    assert "a saved state_dict, or leave torchxrayvision out of evaluation.extractors" in line


@pytest.mark.parametrize("name", ["torchxrayvision", "inception"])
def test_files_that_are_absent_or_of_another_network_are_refused(build, tmp_path, name):
    path = tmp_path / "other.safetensors"
    assert "is no file" in obstacle(build, name, str(path))
    assert "needs its weights: set evaluation.weights=FILE" in obstacle(build, name, None)
    save_file({"features.conv0.weight": torch.zeros(64, 3, 7, 7)}, path)
    assert f"'{path}' does not fit {name} at" in obstacle(build, name, str(path))
