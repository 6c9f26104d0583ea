import numpy as np
import pytest
import torch
from tests.conftest import FIRST_PATIENT, copy_recognisable, make_store
from tests.training.generators import gan, gmvae, vae

from cxr_pipeline.training import image_looks
from cxr_pipeline.training.exploration import explore
from cxr_pipeline.training.image_looks import (
    COMPONENTS,
    DEVIATIONS,
    DIRECTIONS,
    DRAWS,
    NEIGHBOURS,
    REAL_IMAGES,
    SAMPLES,
    components,
    directions,
    encode_training_images,
    nearest,
    neighbours,
    rows_of_split,
    spread,
)
from cxr_pipeline.training.sampling import ImageGenerator

SPLITS = ["train"] * 9 + ["validation"] * 5 + ["test"] * 2
ALL = {"findings": [], "views": [], "sexes": [], "youngest": None, "oldest": None}


@pytest.fixture(scope="module")
def store(few_images, tmp_path_factory):
    return make_store(few_images, tmp_path_factory.mktemp("images"), SPLITS, size=128)


def generator_for(store, model, **selection):
    config, weights = model
    parameters = {"sampler": "prior", "selection": ALL | selection}
    origin = {"image_store": store.version, "image_store_digest": store.digest}
    return ImageGenerator(config | origin | {"parameters": parameters}, weights)


@pytest.mark.parametrize("at_once", [2, 3, 1024])
def test_the_nearest_are_those_that_a_search_over_all_finds(store, monkeypatch, at_once):
    monkeypatch.setattr(image_looks, "COMPARED_AT_ONCE", at_once)
    rows = np.flatnonzero(store.index["split"] == "train")
    every = store.read(rows).astype(np.float64)
    queries = store.read(np.array([1, 10, 12]))
    distances = np.sqrt(((every[None] - queries[:, None]) ** 2).sum(axis=(2, 3)))
    found = nearest(queries, store, rows, 4)
    assert found.tolist() == rows[np.argsort(distances, axis=1)[:, :4]].tolist()
    assert found[0, 0] == 1  # itself


def test_there_are_no_more_neighbours_than_images(store):
    assert nearest(store.read(np.array([0])), store, np.array([3, 5]), 6).shape == (1, 2)


def test_neighbours_are_training_images_beside_samples_and_held_out_images(store):
    generator = generator_for(store, gan())
    look = neighbours(generator, store, seed=2)
    assert look.images.shape == (SAMPLES + REAL_IMAGES, 1 + NEIGHBOURS, 128, 128)
    assert np.array_equal(look.images[:SAMPLES, 0], list(generator.pictures(SAMPLES, seed=2)))
    train = store.read(rows_of_split(generator, store, "train"))
    held_out = store.read(spread(rows_of_split(generator, store, "validation"), REAL_IMAGES))
    assert np.array_equal(look.images[SAMPLES:, 0], held_out)
    for row in look.images[:, 1:]:
        for image in row:
            assert (train == image).all(axis=(1, 2)).any()
    first = look.images[0].astype(float)
    distance = np.sqrt(((first[1] - first[0]) ** 2).mean())
    assert look.rows[0] == f"sample 1\nnearest at {distance:.0f}"
    assert look.rows[-1].startswith("held-out image 3\n")
    assert "of 9 training images" in look.caption


@pytest.mark.parametrize("model", [gan(("Mass", "Nodule")), vae("prior")], ids=["gan", "vae"])
def test_no_image_and_no_patient_is_named(tmp_path, model):
    raw = copy_recognisable(tmp_path, len(SPLITS))
    images = make_store(raw, tmp_path / "images_128", SPLITS, size=128)
    patients = [str(FIRST_PATIENT + number) for number in range(len(SPLITS))]
    assert sorted(map(str, images.index["patient"])) == patients  # of which the names begin
    looks = explore(generator_for(images, model), images)
    texts = [(*look.rows, *look.columns, look.caption) for look in looks.values()]
    written = " ".join(text for look in texts for text in look)
    assert ".png" not in written
    assert [patient for patient in patients if patient in written] == []


def test_only_what_was_selected_for_training_is_looked_at(store):
    views = store.index["view"]
    generator = generator_for(store, gan(), views=["PA"])
    rows = rows_of_split(generator, store, "train")
    assert 0 < len(rows) < 9
    assert set(views.iloc[rows]) == {"PA"}


def test_another_store_than_that_of_training_is_refused(store, one_line_error):
    generator = generator_for(store, gan())
    generator.config |= {"image_store_digest": "other", "image_store": "abc"}
    message = one_line_error(neighbours, generator, store)
    assert message.startswith("model=gan was trained on other images than those of '")
    assert "open image store abc (in a run: --load-versions=" in message


def test_without_held_out_images_samples_alone_are_compared(few_images, tmp_path):
    bare = make_store(few_images, tmp_path, ["train"] * 2, size=128)
    looks = explore(generator_for(bare, vae("prior")), bare)
    assert looks["neighbours"].images.shape[:2] == (SAMPLES, 3)
    assert not any("held-out" in row for row in looks["interpolations"].rows)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (gan(), []),
        (gan(("Mass", "Nodule")), ["findings"]),
        (vae("prior"), ["directions"]),
    ],
)
def test_only_looks_that_apply_are_taken(store, model, names):
    looks = explore(generator_for(store, model), store, seed=1)
    assert list(looks) == ["interpolations", "temperatures", "neighbours", *names]


def test_training_images_are_encoded_some_at_a_time(store, monkeypatch):
    generator = generator_for(store, vae("prior"))
    together = torch.stack(encode_training_images(generator, store))
    assert together.shape == (2, 9, 8)
    assert (together[1] > 0).all()
    monkeypatch.setattr(image_looks, "ENCODED_AT_ONCE", 2)
    again = torch.stack(encode_training_images(generator, store))
    assert torch.allclose(again, together, atol=1e-5)
    monkeypatch.setattr(image_looks, "MOST_ENCODED", 3)
    few = torch.stack(encode_training_images(generator, store))
    assert torch.allclose(few, together[:, [0, 4, 8]], atol=1e-5)


def test_directions_are_those_of_greatest_variance_through_the_mean():
    generator = ImageGenerator(*vae("prior"))
    noise = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    noise = (noise - noise.mean(dim=0)) / noise.std(dim=0, correction=0)
    encodings = noise * torch.tensor([1.0, 3.0, *[0.0] * 6]) + 2
    look = directions(generator, encodings, torch.zeros(200, 8))
    assert look.images.shape[:2] == (DIRECTIONS, len(DEVIATIONS))
    assert look.rows[0] == "direction 1\n90% of the variance"
    middle = (generator.draw(torch.full((1, 8), 2.0))[0, 0] * 255).round().byte().numpy()
    place = DEVIATIONS.index(0)
    assert np.abs(look.images[:, place].astype(int) - middle).max() <= 1
    far = [generator.draw(torch.tensor([[2.0, 2 + 9 * side, *[2.0] * 6]])) for side in (-1, 1)]
    ends = [look.images[0, end].astype(float) / 255 for end in (0, -1)]
    # Which end is which is the decomposition's to say; its first axis is nearly the second latent.
    apart = [[float((image[0, 0] - torch.tensor(e)).abs().mean()) for e in ends] for image in far]
    assert min(apart[0][0] + apart[1][1], apart[0][1] + apart[1][0]) < 0.02


def test_latents_that_carry_nothing_have_directions_without_variance():
    look = directions(ImageGenerator(*vae("prior")), torch.ones(4, 8), torch.zeros(4, 8))
    assert look.rows[0] == "direction 1\n0% of the variance"
    assert (look.images == look.images[0, 0]).all()


def test_directions_are_walked_at_a_point_of_the_average_posterior():
    generator = ImageGenerator(*vae("prior"))
    # All images differ along the first latent; all others are noise.
    means = torch.zeros(6, 8)
    means[:, 0] = torch.linspace(-1, 1, 6)
    variances = torch.full((6, 8), 4.0)
    looks = [directions(generator, means, variances, seed=seed).images for seed in (0, 0, 1)]
    assert np.array_equal(looks[0], looks[1])
    assert not np.array_equal(looks[0], looks[2])


def test_components_are_sorted_by_how_many_images_lie_in_them():
    generator = ImageGenerator(*gmvae(components=3))
    means, _ = generator.mixture
    means.mul_(100)  # far apart, so that which is likeliest is plain
    look = components(generator, means[[2, 2, 2, 0]], seed=1)
    assert look.images.shape == (3, 1 + DRAWS, 224, 224)
    assert look.rows == ("component 3\n3 images", "component 1\n1 image", "component 2\n0 images")
    assert look.caption.startswith("The mixture prior: 2 of 3 components hold all 4 training")
    at_mean = (generator.draw(means[[2, 0, 1]])[:, 0] * 255).round().byte().numpy()
    assert np.abs(look.images[:, 0].astype(int) - at_mean).max() <= 1
    assert not np.array_equal(look.images[0, 1], look.images[0, 2])
    again = components(generator, means[[2, 2, 2, 0]], seed=1)
    assert np.array_equal(again.images, look.images)


def test_of_many_components_those_that_hold_most_images_are_shown():
    generator = ImageGenerator(*gmvae(components=COMPONENTS + 3))
    means, _ = generator.mixture
    means.mul_(100)
    assert components(generator, means[:2]).images.shape[:2] == (COMPONENTS, 1 + DRAWS)


def test_a_prior_that_is_no_mixture_has_no_components(one_line_error):
    message = one_line_error(components, ImageGenerator(*vae("prior")), torch.zeros(2, 8))
    assert message == "model=vae has no mixture for prior: take a gmvae"
