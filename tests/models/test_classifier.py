import pytest
import torch

from cxr_pipeline.models.classifier import NETWORKS, Classifier


@pytest.mark.parametrize(
    ("network", "features", "parameters"),
    [("small", 128, 309_054), ("resnet18", 512, 11_177_422), ("densenet121", 1024, 6_961_934)],
)
def test_networks_describe_images_of_any_size_and_judge_by_that_alone(
    network, features, parameters
):
    classifier = Classifier(network, 14).eval()
    assert sum(p.numel() for p in classifier.parameters()) == parameters
    for size in (64, 96):
        images = torch.rand(2, 1, size, size)
        described = classifier.features(images)
        assert described.shape == (2, features) == (2, classifier.dimensions)
        assert described.min() >= 0
        assert torch.equal(classifier.head(described), classifier(images))


def test_all_networks_are_known_and_others_refused():
    assert set(NETWORKS) == {"small", "resnet18", "densenet121"}
    with pytest.raises(ValueError, match=r"^network='vgg' is unknown: set it to small, resnet18"):
        Classifier("vgg", 1)
