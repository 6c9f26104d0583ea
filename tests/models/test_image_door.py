import pytest
import torch
from torchvision.transforms import Normalize

from cxr_pipeline.models.image_door import ImageDoor

IMAGES = torch.rand(2, 1, 5, 7, generator=torch.Generator().manual_seed(0))


def test_one_channel_is_let_through_as_it_is():
    assert torch.equal(ImageDoor(1, normalise=False)(IMAGES), IMAGES)


def test_three_channels_hold_the_same_grey():
    images = ImageDoor(3, normalise=False)(IMAGES)
    assert images.shape == (2, 3, 5, 7)
    assert all(torch.equal(images[:, channel], IMAGES[:, 0]) for channel in range(3))


def test_normalising_is_torchvision_s():
    theirs = Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(
        ImageDoor(3, normalise=True)(IMAGES), theirs(IMAGES.repeat(1, 3, 1, 1))
    )


def test_one_channel_cannot_be_normalised_by_three_numbers():
    with pytest.raises(ValueError, match=r"channels=1: .* set channels=3 or normalise=false"):
        ImageDoor(1, normalise=True)


def test_there_is_nothing_to_learn_and_nothing_to_save():
    door = ImageDoor(3, normalise=True)
    assert list(door.parameters()) == []
    assert door.state_dict() == {}


def test_it_follows_its_network_to_another_type_and_device():
    door = ImageDoor(3, normalise=True).to(torch.bfloat16)
    assert door(IMAGES.bfloat16()).dtype == torch.bfloat16
    assert door.to("meta")(IMAGES.to("meta", torch.bfloat16)).device.type == "meta"


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_layout_in_memory_is_kept(normalise, layout):
    images = ImageDoor(3, normalise=normalise)(IMAGES.to(memory_format=layout))
    assert images.is_contiguous(memory_format=layout)


def test_gradients_come_through():
    images = IMAGES.clone().requires_grad_()
    ImageDoor(3, normalise=True)(images).sum().backward()
    assert torch.allclose(images.grad, torch.tensor([1 / 0.229, 1 / 0.224, 1 / 0.225]).sum())
