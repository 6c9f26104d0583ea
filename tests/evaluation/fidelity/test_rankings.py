from cxr_pipeline.evaluation.fidelity.rankings import disagreements, orders
from cxr_pipeline.evaluation.measured import Measured


def distance(model, extractor, value, *, half_width=1.0, n=100):
    metric = f"fidelity/frechet_distance/{extractor}"
    return Measured(model, metric, value, value - half_width, value + half_width, n)


def agreeing():
    return [
        *(distance(model, "random", value) for model, value in (("gan", 10.0), ("vae", 20.0))),
        *(distance(model, "classifier", value) for model, value in (("gan", 1.0), ("vae", 9.0))),
    ]


def test_models_are_ordered_by_their_distance_real_images_left_out():
    rows = [
        distance("vae", "random", 20.0),
        distance("real", "random", 1.0),
        distance("gan", "random", 10.0),
        Measured("gmvae", "fidelity/kid/random", 0.0, 0.0, 0.0, 100),
    ]
    assert orders(rows, 100) == {"random": ["gan", "vae"]}


def test_a_set_measured_on_fewer_images_is_not_ordered():
    rows = [*agreeing(), distance("folder", "random", 5.0, n=10)]
    assert orders(rows, 100) == {"random": ["gan", "vae"], "classifier": ["gan", "vae"]}


def test_extractors_that_agree_are_not_flagged():
    assert disagreements(agreeing(), 100) == []


def test_extractors_that_disagree_are_flagged():
    rows = [*agreeing(), distance("gmvae", "random", 15.0), distance("gmvae", "classifier", 20.0)]
    assert disagreements(rows, 100) == [
        "gmvae is nearer to real images than vae by random, further by classifier; "
        "beyond their intervals"
    ]


def test_a_difference_that_may_be_noise_is_said_to_be():
    rows = [*agreeing(), distance("gmvae", "random", 19.5), distance("gmvae", "classifier", 20.0)]
    (line,) = disagreements(rows, 100)
    assert line.endswith("within their intervals")


def test_a_model_that_one_extractor_could_not_measure_is_not_flagged():
    assert disagreements([*agreeing(), distance("gmvae", "random", 1.0)], 100) == []
