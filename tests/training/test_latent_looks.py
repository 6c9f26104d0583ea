import math

import numpy as np
import pytest
import torch
from tests.training.generators import gan, gmvae, vae

from cxr_pipeline.data.findings import FINDINGS, NO_FINDING
from cxr_pipeline.models.lsgan import draw_noise
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.latent_looks import (
    NOISES,
    PAIRS,
    STEPS,
    TEMPERATURES,
    interpolate,
    interpolate_uniform,
    interpolations,
    same_noise_under_each_finding,
    temperatures,
)
from cxr_pipeline.training.sampling import ImageGenerator

MODELS = [gan(), gan(FINDINGS), vae("mixture"), gmvae(("Mass", "Nodule"))]


def samples(generator, count, **asked):
    return np.stack(list(generator.pictures(count, seed=3, **asked)))


def nearly(one, other):
    """Batches of another size may change the last digit, and so a grey level."""
    assert one.shape == other.shape
    return np.abs(one.astype(int) - other.astype(int)).max() <= 1


@pytest.mark.parametrize("walk", [interpolate, interpolate_uniform])
def test_walks_begin_and_end_where_they_are_asked_to(walk):
    start, end = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(0)).unbind()
    walks = walk(start, end, 4)
    assert walks.shape == (5, 4, 6)
    assert torch.allclose(walks[:, 0], start, atol=1e-5)
    assert torch.allclose(walks[:, -1], end, atol=1e-5)


def test_the_arc_stays_on_the_sphere_and_has_equal_steps():
    (walk,) = interpolate(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 5)
    angles = torch.atan2(walk[:, 1], walk[:, 0])
    assert torch.allclose(walk.norm(dim=1), torch.ones(5))
    assert torch.allclose(angles, torch.linspace(0, math.pi / 2, 5))


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0])
def test_an_arc_that_is_none_is_the_straight_line(factor):
    start = torch.tensor([[1.0, 2.0, 3.0]])
    walk = interpolate(start, factor * start, 3)
    assert torch.allclose(walk[0, 1], (1 + factor) / 2 * start[0])


def test_half_way_between_uniform_latents_lie_uniform_ones():
    start, end = (draw_noise(2000, 100, torch.Generator().manual_seed(s)) for s in (0, 1))
    middle = interpolate_uniform(start, end, 3)[:, 1]
    assert middle.abs().max() <= 1
    # Of straight lines' middles the variance would be half of that.
    assert float(middle.var()) == pytest.approx(1 / 3, abs=0.005)
    assert float((middle.abs() < 0.5).float().mean()) == pytest.approx(0.5, abs=0.005)


def test_the_edge_of_the_cube_has_walks_too():
    walk = interpolate_uniform(torch.tensor([[-1.0, 1.0]]), torch.tensor([[0.5, -1.0]]), 3)
    assert torch.isfinite(walk).all()


@pytest.mark.parametrize("model", MODELS)
def test_interpolations_go_from_sample_to_sample(model):
    generator = ImageGenerator(*model)
    look = interpolations(generator, seed=3)
    assert look.images.shape[:2] == (PAIRS, STEPS)
    drawn = samples(generator, 2 * PAIRS)
    assert nearly(look.images[:, 0], drawn[::2])
    assert nearly(look.images[:, -1], drawn[1::2])
    assert look.rows[1] == "samples 3 and 4"
    assert (look.columns[0], look.columns[5], look.columns[-1]) == ("0 %", "50 %", "100 %")


def test_further_interpolations_go_between_encodings_of_held_out_images():
    generator = ImageGenerator(*vae("prior"))
    pixels = torch.randint(256, (5, 1, 128, 128), dtype=torch.uint8)
    held_out = {"pixels": pixels, "findings": torch.zeros(5, 0)}
    look = interpolations(generator, held_out=held_out)
    assert look.rows[PAIRS:] == ("held-out images 1 and 2", "held-out images 3 and 4")
    mean, variance = generator.encode(held_out)
    noise = torch.randn(8, generator=random_generator(0, "encodings"))
    again = generator.draw(mean + variance.sqrt() * noise)[:, 0]
    again = (again * 255).round().byte().numpy()
    assert nearly(look.images[PAIRS:, 0], again[[0, 2]])
    assert nearly(look.images[PAIRS:, -1], again[[1, 3]])
    one = {name: tensor[:1] for name, tensor in held_out.items()}
    assert len(interpolations(generator, held_out=one).rows) == PAIRS


@pytest.mark.parametrize("model", MODELS)
def test_at_temperature_one_the_samples_are_drawn_and_below_it_they_vary_less(model):
    generator = ImageGenerator(*model)
    look = temperatures(generator, seed=3)
    assert look.images.shape[:2] == (NOISES, len(TEMPERATURES))
    assert nearly(look.images[:, TEMPERATURES.index(1.0)], samples(generator, NOISES))
    assert nearly(
        look.images[:, TEMPERATURES.index(0.5)], samples(generator, NOISES, temperature=0.5)
    )


@pytest.mark.parametrize("entries", [FINDINGS, ("Mass", "Nodule", NO_FINDING)])
def test_along_a_row_only_the_finding_changes(entries):
    generator = ImageGenerator(*gan(entries))
    look = same_noise_under_each_finding(generator, seed=3)
    names = [NO_FINDING, *(name for name in entries if name != NO_FINDING)]
    assert look.columns == tuple(name.replace("_", " ") for name in names)
    for column in (0, 1, len(names) - 1):
        asked = samples(generator, NOISES, findings=[names[column]])
        assert nearly(look.images[:, column], asked)


def test_a_model_without_findings_has_none_to_ask_for(one_line_error):
    message = one_line_error(same_noise_under_each_finding, ImageGenerator(*gan()))
    assert message.startswith("model=gan was trained without findings: ")


def test_another_seed_looks_at_other_noise():
    generator = ImageGenerator(*gan(("Mass",)))
    for look in (interpolations, temperatures, same_noise_under_each_finding):
        first, again, other = (look(generator, seed=seed).images for seed in (0, 0, 1))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
