import itertools
import json
from collections import Counter

import numpy as np
import pytest
import torch
from tests.training.generators import BALANCE, gan, gmvae, vae

from cxr_pipeline import load_generator
from cxr_pipeline.data.conditions import multi_hot
from cxr_pipeline.data.findings import FINDINGS, NO_FINDING
from cxr_pipeline.models.vae import Vae
from cxr_pipeline.training.sampling import BATCH, ImageGenerator
from cxr_pipeline.training.saved_model import CONFIG, WEIGHTS, save_model


@pytest.fixture(scope="module")
def plain():
    return ImageGenerator(*gan())


@pytest.fixture(scope="module")
def conditional():
    return ImageGenerator(*gan(FINDINGS))


@pytest.fixture
def recording():
    """A conditional model that draws black, and the findings of each batch it is asked for."""
    generator, asked = ImageGenerator(*gan(FINDINGS)), []

    def draw(findings, noise, temperature):
        asked.append(findings)
        return torch.zeros(len(findings), 1, 2, 2)

    generator._sampler = draw
    return generator, asked


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "gan", *gan(FINDINGS))
    return tmp_path / "gan"


# -- images --------------------------------------------------------------------------------------


def test_a_saved_model_draws_images_of_a_finding(folder):
    images = load_generator(folder).sample(16, seed=0, findings=["Cardiomegaly"])
    assert (images.shape, images.dtype) == ((16, 1, 128, 128), torch.float32)
    assert images.device.type == "cpu"
    assert 0 <= images.min() < images.max() <= 1
    assert not images.requires_grad
    assert torch.equal(load_generator(str(folder)).sample(16, findings="Cardiomegaly"), images)


@pytest.mark.parametrize("model", [gan(), gan(FINDINGS), vae("prior"), vae("mixture")])
def test_every_model_draws_images_in_the_unit_interval(model):
    images = ImageGenerator(*model).sample(3)
    assert (images.shape, images.dtype) == ((3, 1, 128, 128), torch.float32)
    assert 0 <= images.min() < images.max() <= 1
    assert not torch.equal(images[0], images[1])


@pytest.mark.parametrize("findings", ["training", "flat", "Mass|Nodule"])
def test_more_images_begin_with_the_same_ones(conditional, findings):
    many = conditional.sample(BATCH + 2, seed=4, findings=findings)
    assert len(many) == BATCH + 2
    assert torch.equal(conditional.sample(3, seed=4, findings=findings), many[:3])


def test_no_two_batches_are_alike(plain):
    images = plain.sample(2 * BATCH)
    assert not torch.equal(images[:BATCH], images[BATCH:])
    assert len(images.flatten(1).unique(dim=0)) == 2 * BATCH


def test_another_seed_draws_other_images(plain):
    assert not torch.equal(plain.sample(1, seed=1), plain.sample(1, seed=2))


def test_pictures_are_the_same_images_in_grey_levels(conditional):
    drawn = list(conditional.pictures(3, seed=2, findings=["Mass"]))
    assert all(picture.shape == (128, 128) and picture.dtype == np.uint8 for picture in drawn)
    images = conditional.sample(3, seed=2, findings=["Mass"])[:, 0].numpy()
    assert np.abs(np.stack(drawn) - images * 255).max() <= 0.501


def test_pictures_are_drawn_a_batch_at_a_time_and_only_as_they_are_asked_for(recording):
    generator, asked = recording
    # At once, a million would take 64 GB.
    pictures = generator.pictures(1_000_000, findings="flat")
    assert len(asked) == 0
    assert len(list(itertools.islice(pictures, BATCH))) == BATCH
    assert len(asked) == 1
    next(pictures)
    assert [len(findings) for findings in asked] == [BATCH, BATCH]


@pytest.mark.parametrize("model", [gan(), vae("prior"), vae("mixture")])
def test_a_lower_temperature_draws_images_more_alike(model):
    generator = ImageGenerator(*model)
    spreads = [
        float(generator.sample(32, temperature=temperature).std(dim=0).mean())
        for temperature in (0.5, 1.0)
    ]
    assert spreads[0] < 0.8 * spreads[1]


def test_the_sampler_that_the_configuration_names_decides():
    config, weights = vae("prior")
    prior, mixture = (
        ImageGenerator(config | {"parameters": {"sampler": sampler}}, weights)
        for sampler in ("prior", "mixture")
    )
    network = Vae(8, centre=True)
    own = {key[4:]: tensor for key, tensor in weights.items() if key.startswith("vae.")}
    network.load_state_dict(own)
    with torch.no_grad():
        # The mixture's latents lie about 10 in each direction, the prior's about 0.
        typical = [network.eval().decode(torch.full((1, 8), level)) for level in (0.0, 10.0)]
    for generator, place in ((prior, 0), (mixture, 1)):
        distances = [float((generator.sample(8) - image).square().mean()) for image in typical]
        assert distances[place] < 0.5 * distances[1 - place]


# -- latents -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [gan(), gan(FINDINGS), vae("prior"), vae("mixture"), gmvae()])
def test_latents_are_those_of_the_images_drawn(model):
    generator = ImageGenerator(*model)
    latents = generator.latents(BATCH + 2, seed=3, temperature=0.5)
    assert (latents.shape, latents.dtype) == ((BATCH + 2, 8), torch.float32)
    labels = generator.labels(BATCH + 2, seed=3)
    drawn = generator.draw(latents, multi_hot(labels, generator.findings))
    expected = generator.sample(BATCH + 2, seed=3, temperature=0.5)
    assert torch.allclose(drawn, expected, atol=1e-4)


@pytest.mark.parametrize("entries", [FINDINGS, (*FINDINGS, NO_FINDING)])
def test_without_findings_none_is_asked_for(entries):
    generator = ImageGenerator(*gan(entries))
    latents = generator.latents(2)
    drawn = generator.draw(latents)
    assert torch.allclose(drawn, generator.sample(2, findings=NO_FINDING), atol=1e-4)
    assert not torch.allclose(drawn, generator.sample(2, findings="Mass"), atol=1e-4)


def test_a_vae_encodes_images_as_its_network_does():
    config, weights = vae("prior")
    generator = ImageGenerator(config, weights)
    pixels = torch.randint(256, (3, 1, 128, 128), dtype=torch.uint8)
    encoded, variance = generator.encode({"pixels": pixels})
    network = Vae(8, centre=True).eval()
    network.load_state_dict({key[4:]: t for key, t in weights.items() if key.startswith("vae.")})
    with torch.no_grad():
        mean, logvar = network.encode(pixels.float() / 255)
    assert generator.encodes
    assert torch.allclose(encoded, mean)
    assert torch.allclose(variance, logvar.exp())


def test_a_gmvae_encodes_features_with_what_it_is_told(one_line_error):
    generator = ImageGenerator(*gmvae(("Mass", "Nodule")))
    features = torch.randn(2, 512, 7, 7, generator=torch.Generator().manual_seed(0)).half()
    pixels = torch.zeros(2, 1, 224, 224, dtype=torch.uint8)
    examples = {"pixels": pixels, "features": features}
    asked = (torch.zeros(2, 2), torch.ones(2, 2))
    none, both = (generator.encode({**examples, "findings": y})[0] for y in asked)
    assert none.shape == (2, 8)
    assert not torch.allclose(none, both)
    without = {"pixels": pixels, "findings": torch.zeros(2, 2)}
    assert one_line_error(generator.encode, without).startswith("features=None: ")


def test_a_gan_cannot_encode(plain, one_line_error):
    assert not plain.encodes
    message = one_line_error(plain.encode, {"pixels": torch.zeros(1, 1, 128, 128)})
    assert message == "model=gan cannot encode images: take a vae or a gmvae"


# -- findings ------------------------------------------------------------------------------------


def test_any_spelling_and_order_of_findings_asks_for_the_same(conditional):
    images = conditional.sample(2, findings=["Pleural_Thickening", "Mass"])
    for findings in (
        "Mass|Pleural_Thickening",
        "pleural thickening|MASS",
        ("mass", " Pleural Thickening "),
        ["Mass", "Mass", "Pleural_Thickening"],
    ):
        assert torch.equal(conditional.sample(2, findings=findings), images)


def test_other_findings_draw_other_images_from_the_same_noise(conditional):
    asked = (["Mass"], ["Nodule"], ["Mass", "Nodule"], [NO_FINDING], list(FINDINGS))
    drawn = torch.stack([conditional.sample(1, findings=findings) for findings in asked])
    assert len(drawn.flatten(1).unique(dim=0)) == len(asked)


@pytest.mark.parametrize("findings", [None, "training", ["training"], []])
def test_by_default_findings_are_asked_as_often_as_in_training(conditional, findings):
    labels = conditional.labels(3000, seed=1, findings=findings)
    counts = Counter(labels)
    assert set(counts) == set(BALANCE)
    for label, images in BALANCE.items():
        # Three standard deviations of the most frequent: 0.027.
        assert counts[label] / 3000 == pytest.approx(images / 100, abs=0.03)
    assert conditional.labels(3000, seed=2) != labels


@pytest.mark.parametrize("findings", ["flat", ["flat"]])
def test_flat_asks_for_every_finding_and_none_equally_often(conditional, findings):
    # 15 classes: across the borders of batches too.
    counts = Counter(conditional.labels(15 * 20, findings=findings))
    assert counts == dict.fromkeys([*FINDINGS, NO_FINDING], 20)


@pytest.mark.parametrize("findings", [None, "flat", "Nodule|mass", NO_FINDING])
@pytest.mark.parametrize("count", [1, BATCH, BATCH + 3])
def test_labels_say_what_each_image_was_asked_to_show(recording, findings, count):
    generator, asked = recording
    labels = generator.labels(count, seed=3, findings=findings)
    generator.sample(count, seed=3, findings=findings)
    assert len(labels) == count
    assert torch.equal(torch.cat(asked)[:count], multi_hot(labels, FINDINGS))


def test_labels_of_a_model_that_is_not_conditional_are_blank(plain):
    assert plain.findings == ()
    assert plain.labels(BATCH + 1) == [""] * (BATCH + 1)


def test_a_model_says_what_it_can_be_asked_for(conditional):
    assert conditional.findings == FINDINGS


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n=0: draw at least 1 image"),
        ({"n": -3}, "n=-3: draw at least 1 image"),
        ({"temperature": 0}, "temperature=0: above 0, at most 2.0"),
        ({"temperature": 3}, "temperature=3: above 0, at most 2.0"),
        ({"temperature": float("nan")}, "temperature=nan: above 0, at most 2.0"),
        ({"findings": ["Gout"]}, "unknown finding 'Gout': the model knows Atelectasis, "),
        ({"findings": "Mass|Gout"}, "unknown finding 'Gout': the model knows Atelectasis, "),
        ({"findings": "Tortuous Aorta"}, "unknown finding 'Tortuous Aorta': the model knows "),
        ({"findings": f"Mass|{NO_FINDING}"}, "No Finding goes with no other finding: "),
        ({"findings": ["flat", "Mass"]}, "unknown finding 'flat': the model knows "),
    ],
)
@pytest.mark.parametrize("method", ["sample", "pictures"])
def test_what_cannot_be_drawn_is_refused(conditional, method, arguments, message, one_line_error):
    def draw(n=2, **others):
        return list(getattr(conditional, method)(n, **others))

    assert one_line_error(draw, **arguments).startswith(message)


@pytest.mark.parametrize("findings", ["Mass", "training", "flat", NO_FINDING])
def test_a_model_that_is_not_conditional_cannot_be_asked(plain, findings, one_line_error):
    for ask in (plain.sample, plain.labels):
        message = one_line_error(ask, 2, findings=findings)
        assert message.startswith(f"findings={findings} cannot be asked of a model that was ")
        assert "conditional=true" in message


def test_a_folder_without_a_model_is_refused(tmp_path, one_line_error):
    for empty in (tmp_path, tmp_path / "nowhere"):
        message = one_line_error(load_generator, empty)
        assert message.startswith(f"'{empty}' holds no trained model (config.json is not there)")
        assert "kedro run --pipeline=gan" in message


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_damaged_model_is_refused(folder, name, one_line_error):
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert one_line_error(load_generator, folder).startswith(f"the model in '{folder}' is damaged")


@pytest.mark.parametrize("model", ["flow", None])
def test_an_unknown_model_is_refused(folder, model, one_line_error):
    config = json.loads((folder / CONFIG).read_text()) | {"model": model}
    (folder / CONFIG).write_text(json.dumps(config))
    message = one_line_error(load_generator, folder)
    assert message == f"config.json: unknown model {model!r}: expected vae, gmvae, gan"


@pytest.mark.parametrize(
    "change", [{"dim_z": 9}, {"findings": []}, {"findings": [*FINDINGS, NO_FINDING]}]
)
def test_weights_of_another_architecture_are_refused(folder, change, one_line_error):
    config = json.loads((folder / CONFIG).read_text())
    config["architecture"] |= change
    (folder / CONFIG).write_text(json.dumps(config))
    message = one_line_error(load_generator, folder)
    assert message == "the weights do not fit the generator of config.json: train the model anew"


@pytest.mark.parametrize("absent", ["architecture", "dim_z", "findings", "training_labels"])
def test_a_configuration_without_what_is_needed_is_refused(folder, absent, one_line_error):
    config = json.loads((folder / CONFIG).read_text())
    (config if absent in config else config["architecture"]).pop(absent)
    (folder / CONFIG).write_text(json.dumps(config))

    def draw():
        return load_generator(folder).sample(1)

    assert one_line_error(draw) == f"config.json lacks {absent!r}: train the model anew"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"n": 1.5}, "n=1.5"),
        ({"n": "4"}, "n='4'"),
        ({"n": 1, "seed": None}, "seed=None"),
        ({"n": 1, "temperature": "hot"}, "temperature='hot'"),
    ],
)
def test_arguments_of_another_type_are_refused_by_name(plain, arguments, named, one_line_error):
    assert one_line_error(lambda: plain.sample(**arguments)).startswith(named)


def test_a_finding_that_is_no_name_is_unknown(conditional, one_line_error):
    message = one_line_error(lambda: conditional.sample(1, findings=[3]))
    assert message.startswith("unknown finding 3: the model knows")


@pytest.mark.parametrize("first", [0, 1, BATCH - 1, BATCH, BATCH + 2])
def test_pictures_from_a_later_one_on_are_those_of_the_whole(plain, first):
    whole = np.stack(list(plain.pictures(BATCH + 5, seed=1)))
    rest = np.stack(list(plain.pictures(BATCH + 5, seed=1, first=first)))
    assert np.array_equal(rest, whole[first:])
