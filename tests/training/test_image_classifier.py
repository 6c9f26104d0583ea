import numpy as np
import pytest
from tests.training.squares import ENTRIES, EXAMPLES, OTHERS, PARAMETERS, SIZE, same, squares

from cxr_pipeline.models.modes import in_evaluation
from cxr_pipeline.training.classifier import ImageClassifier, train_classifier


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_classifier(
        EXAMPLES,
        OTHERS,
        ENTRIES,
        PARAMETERS | {"max_steps": 3},
        checkpoints=tmp_path_factory.mktemp("classifier"),
        identity={"image_store_digest": "abc"},
        on_metrics=lambda *_: None,
    )


@pytest.fixture
def classifier(trained):
    return ImageClassifier(trained.config, trained.weights, accelerator="cpu")


def test_the_configuration_says_what_it_is_and_of_what(trained, classifier):
    config = trained.config
    assert config["image_store_digest"] == "abc"
    assert (config["training_images"], config["steps"]) == (40, 3)
    assert config["learned_parameters"] == sum(p.numel() for p in classifier.network.parameters())
    assert (classifier.entries, classifier.image_size) == (ENTRIES, SIZE)
    assert (classifier.dimensions, classifier.sha256) == (128, config["weights_sha256"])


def test_batches_are_looked_at_as_images_alone_are(classifier):
    pixels = squares(70, seed=2)["pixels"][:, 0].numpy()
    for look, columns in ((classifier.probabilities, 2), (classifier.features, 128)):
        together = look(pixels)
        alone = np.concatenate([look(pixels[i : i + 1]) for i in range(70)])
        assert (together.shape, together.dtype) == ((70, columns), np.float32)
        assert np.allclose(together, alone, atol=1e-5)
        assert not np.allclose(together[0], together[1], atol=1e-3)


def test_probabilities_are_what_the_network_says_and_batch_norm_stays_as_learnt(classifier):
    pixels = squares(5, seed=3)["pixels"]
    before = {k: t.clone() for k, t in classifier.network.state_dict().items()}
    with in_evaluation(classifier.network):
        expected = classifier.network(pixels.float() / 255).sigmoid().numpy()
    assert np.allclose(classifier.probabilities(pixels[:, 0].numpy()), expected, atol=1e-6)
    assert same(before, classifier.network.state_dict())


def test_images_of_another_size_are_resized(classifier):
    pixels = squares(3, seed=3)["pixels"][:, 0].numpy()
    larger = pixels.repeat(2, axis=1).repeat(2, axis=2)
    assert np.allclose(
        classifier.probabilities(larger), classifier.probabilities(pixels), atol=1e-5
    )


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((2, SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.uint8), np.zeros(0, "u1")],
)
def test_what_are_no_grey_levels_is_refused(classifier, pixels):
    with pytest.raises(ValueError, match=r"not \(N, S, S\) uint8: give grey levels$"):
        classifier.probabilities(pixels)


def test_a_configuration_of_other_weights_or_with_gaps_is_refused(trained):
    other = {name: tensor.clone() for name, tensor in trained.weights.items()}
    other["classifier.head.bias"] += 1
    with pytest.raises(ValueError, match="kedro run --pipeline=classifier"):
        ImageClassifier(trained.config, other)
    gap = {key: value for key, value in trained.config.items() if key != "entries"}
    with pytest.raises(ValueError, match=r"lacks 'entries': train the classifier anew"):
        ImageClassifier(gap, trained.weights)
