"""Every look at a trained model's latents that applies to it."""

from cxr_pipeline.data.labelled_sheets import LabelledImages
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.training.examples import read_examples
from cxr_pipeline.training.feature_cache import FeatureCache, wanted_encoder
from cxr_pipeline.training.image_looks import (
    components,
    directions,
    encode_training_images,
    neighbours,
    rows_of_split,
    spread,
)
from cxr_pipeline.training.latent_looks import (
    interpolations,
    same_noise_under_each_finding,
    temperatures,
)
from cxr_pipeline.training.sampling import ImageGenerator

HELD_OUT = 4
"""Images, two pairs, that interpolations go between."""


def explore(
    generator: ImageGenerator,
    images: ImageStore,
    *,
    features: FeatureCache | None = None,
    seed: int = 0,
) -> dict[str, LabelledImages]:
    """Look at a model's latents in every way that applies to it.

    Args:
        generator: The model.
        images: The store that it was trained on.
        features: What a frozen encoder made of the store's images, for models that have one.
        seed: Decides all noise; the samples are the first that `ImageGenerator.sample` draws of it.

    Returns:
        By name: `interpolations`, `temperatures` and `neighbours`; `findings` of a conditional
        model; `directions` of one that encodes; `components` of a GMVAE.

    Raises:
        ValueError: If the model was trained on another store, or the features are another
            encoder's.
    """
    if features is not None:
        features.require(wanted_encoder(generator.config["parameters"]))
    held_out = None
    if generator.encodes:
        rows = spread(rows_of_split(generator, images, "validation"), HELD_OUT)
        held_out = read_examples(images, rows, generator.findings, features)
    looks = {
        "interpolations": interpolations(generator, seed=seed, held_out=held_out),
        "temperatures": temperatures(generator, seed=seed),
        "neighbours": neighbours(generator, images, seed=seed),
    }
    if generator.findings:
        looks["findings"] = same_noise_under_each_finding(generator, seed=seed)
    if generator.encodes:
        means, variances = encode_training_images(generator, images, features)
        looks["directions"] = directions(generator, means, variances, seed=seed)
        if generator.mixture is not None:
            looks["components"] = components(generator, means, seed=seed)
    return looks
