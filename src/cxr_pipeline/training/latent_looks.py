"""Looks at what a trained model's latents do, drawn from noise alone.

from cxr_pipeline import load_generator
from cxr_pipeline.data.labelled_sheets import labelled_sheet
from cxr_pipeline.training.latent_looks import interpolations
picture = labelled_sheet(interpolations(load_generator("data/06_models/gan")))  # (H, W) uint8
"""

import torch
from torch import Tensor

from cxr_pipeline.data.batches import to_pixels
from cxr_pipeline.data.conditions import multi_hot
from cxr_pipeline.data.findings import NO_FINDING
from cxr_pipeline.data.labelled_sheets import LabelledImages
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.sampling import ImageGenerator
from cxr_pipeline.training.task import Examples, first_examples

PAIRS = 4
STEPS = 11
"""Images from one end of an interpolation to the other, the ends among them."""

NOISES = 5
TEMPERATURES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)

ALMOST_PARALLEL = 1e-3
"""Sine of an angle below which the arc between two latents is the straight line."""
INMOST = 1 - 1e-6
"""Uniform noise is taken for this much at most, whose Gaussian is finite."""


def interpolate(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Walk from one Gaussian latent to another, along the arc about the origin.

    Gaussian latents of many dimensions nearly all lie on a sphere. A straight line between two
    crosses its inside, where no decoder was trained (White, "Sampling generative networks", 2016,
    arXiv:1609.04468).

    Args:
        start: (P, Z).
        end: (P, Z).
        steps: Latents a walk, both ends among them, at least 2.

    Returns:
        (P, steps, Z).
    """
    share = torch.linspace(0, 1, steps)[None, :, None]
    first, last = start[:, None], end[:, None]  # (P, 1, Z)
    cosine = torch.cosine_similarity(first, last, dim=2)[:, :, None].clamp(-1, 1)
    angle = cosine.acos()
    sine = angle.sin()
    arc = (((1 - share) * angle).sin() * first + (share * angle).sin() * last) / sine
    return torch.where(sine > ALMOST_PARALLEL, arc, torch.lerp(first, last, share))


def interpolate_uniform(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Walk from one uniform latent to another such that those between are uniform too.

    Of many dimensions they nearly all lie at one distance from the origin as well. The walk is the
    arc between the Gaussian latents of the same quantiles.

    Args:
        start: (P, Z) in [-1, 1].
        end: (P, Z) in [-1, 1].
        steps: As for `interpolate`.

    Returns:
        (P, steps, Z).
    """
    first, last = (torch.erfinv(noise.clamp(-INMOST, INMOST)) for noise in (start, end))
    return torch.erf(interpolate(first, last, steps))


def interpolations(
    generator: ImageGenerator, *, seed: int = 0, held_out: Examples | None = None
) -> LabelledImages:
    """Walk between samples, and between images that were not trained on.

    Args:
        generator: The model.
        seed: As for `ImageGenerator.sample`, whose images 1 and 2, 3 and 4 and so on are the ends.
        held_out: Images that are further ends, by pairs, at points of their posteriors; of models
            that encode.

    Returns:
        Rows: pairs of ends; columns: steps from one to the other.
    """
    latents = generator.latents(2 * PAIRS, seed=seed)
    findings = multi_hot(generator.labels(2 * PAIRS, seed=seed), generator.findings)
    rows = [f"samples {2 * pair + 1} and {2 * pair + 2}" for pair in range(PAIRS)]
    further = ""
    pairs = 0 if held_out is None else len(held_out["pixels"]) // 2
    if held_out is not None and pairs:
        some = first_examples(held_out, 2 * pairs)
        mean, variance = generator.encode(some)
        # The same noise at both ends, so that only the images differ.
        noise = torch.randn(mean.shape[1], generator=random_generator(seed, "encodings"))
        latents = torch.cat([latents, mean + variance.sqrt() * noise])
        findings = torch.cat([findings, some["findings"]])
        rows += [f"held-out images {2 * pair + 1} and {2 * pair + 2}" for pair in range(pairs)]
        further = " Held-out images are real ones not trained on, encoded and drawn again."
    walk = interpolate if generator.gaussian else interpolate_uniform
    # What one end is asked to show fades into what the other is.
    share = torch.linspace(0, 1, STEPS)[None, :, None]
    asked = torch.lerp(findings[::2, None], findings[1::2, None], share)
    return LabelledImages(
        images=drawn_pixels(generator, walk(latents[::2], latents[1::2], STEPS), asked).numpy(),
        rows=tuple(rows),
        columns=tuple(f"{100 * step // (STEPS - 1)} %" for step in range(STEPS)),
        caption="From one latent to another: changes should be smooth, and every step a chest."
        + further,
    )


def temperatures(generator: ImageGenerator, *, seed: int = 0) -> LabelledImages:
    """Draw the same noise at rising temperatures.

    Args:
        generator: The model.
        seed: As for `ImageGenerator.sample`, whose first images are those at temperature 1.

    Returns:
        Rows: noises; columns: temperatures.
    """
    latents = torch.stack(
        [generator.latents(NOISES, seed=seed, temperature=factor) for factor in TEMPERATURES], dim=1
    )
    findings = multi_hot(generator.labels(NOISES, seed=seed), generator.findings)
    asked = findings[:, None].expand(-1, len(TEMPERATURES), -1)
    return LabelledImages(
        images=drawn_pixels(generator, latents, asked).numpy(),
        rows=tuple(f"sample {number + 1}" for number in range(NOISES)),
        columns=tuple(f"temperature {factor:g}" for factor in TEMPERATURES),
        caption="The same noise at rising temperatures. Training knew 1 alone: below it images "
        "grow alike, above it they vary more, and far from it they may fall apart.",
    )


def same_noise_under_each_finding(generator: ImageGenerator, *, seed: int = 0) -> LabelledImages:
    """Draw the same noise with each finding asked for, one at a time.

    Args:
        generator: A conditional model.
        seed: As for `ImageGenerator.sample`.

    Returns:
        Rows: noises; columns: No Finding, then each finding that the model knows.

    Raises:
        ValueError: If the model is not conditional.
    """
    if not generator.findings:
        raise ValueError(
            f"model={generator.config['model']} was trained without findings: train with "
            "conditional=true (GMVAE: a version fs_...)"
        )
    names = [NO_FINDING, *(name for name in generator.findings if name != NO_FINDING)]
    latents = generator.latents(NOISES, seed=seed)[:, None].expand(-1, len(names), -1)
    asked = multi_hot(names, generator.findings).expand(NOISES, -1, -1)
    return LabelledImages(
        images=drawn_pixels(generator, latents, asked).numpy(),
        rows=tuple(f"noise {number + 1}" for number in range(NOISES)),
        columns=tuple(name.replace("_", " ") for name in names),
        caption="The same noise under each finding: along a row only what is asked for changes.",
    )


def drawn_pixels(
    generator: ImageGenerator, latents: Tensor, findings: Tensor | None = None
) -> Tensor:
    """Draw rows and columns of latents.

    Args:
        generator: The model.
        latents: (R, C, Z).
        findings: (R, C, entries of the label vector); None asks for No Finding.

    Returns:
        (R, C, H, W) uint8.
    """
    asked = None if findings is None else findings.flatten(0, 1)
    drawn = to_pixels(generator.draw(latents.flatten(0, 1), asked))[:, 0]  # (R * C, H, W)
    return drawn.reshape(*latents.shape[:2], *drawn.shape[1:])
