import numpy as np
import pytest
import torch
from tests.training.squares import ENTRIES, EXAMPLES, OTHERS, PARAMETERS, SIZE, same
from torch.nn.functional import interpolate

from cxr_pipeline.models.classifier import Classifier
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.checkpoint import find_checkpoint, mark_finished
from cxr_pipeline.training.classifier import ImageClassifier, train_classifier
from cxr_pipeline.training.classifier_task import ClassifierTask, augment, learning_rate_scale


@pytest.fixture
def fit(checkpoints):
    def fit(examples=EXAMPLES, held_out=OTHERS, on_metrics=lambda *_: None, **changes):
        own = ("identity", "reuse", "first_weights", "positive_weights", "entries", "checkpoints")
        given = {key: changes.pop(key) for key in own if key in changes}
        arguments = {"checkpoints": checkpoints, "identity": {}, "entries": ENTRIES} | given
        trained = train_classifier(
            examples,
            held_out,
            parameters=PARAMETERS | changes,
            on_metrics=on_metrics,
            **arguments,
        )
        mark_finished(arguments["checkpoints"])
        return trained

    return fit


def metric(trained, name):
    return trained.history.loc[trained.history["metric"] == name, "value"].tolist()


def test_it_learns_what_other_images_show(fit):
    trained = fit()
    losses, looks = metric(trained, "loss/total"), metric(trained, "validation/loss")
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    assert looks[-1] < 0.7 * np.log(2)
    assert metric(trained, "validation/auroc")[-1] > 0.9
    assert len(looks) == PARAMETERS["epochs"]


class StopTraining(Exception):
    """Ends a run from within, as a signal would."""


@pytest.mark.parametrize(
    "options", [{}, {"learning_rate_warmup": 4, "ema_decay": 0.9}, {"precision": "bf16-mixed"}]
)
def test_an_interrupted_run_goes_on_to_the_very_same_end(fit, tmp_path, options):
    options |= {"max_steps": 9}
    whole = fit(checkpoints=tmp_path / "whole", **options)

    def stop(step, metrics):
        if step == 7:
            raise StopTraining

    with pytest.raises(StopTraining):
        fit(on_metrics=stop, **options)
    assert find_checkpoint(tmp_path / "checkpoint").step == 6
    resumed = fit(**options)
    assert same(resumed.weights, whole.weights)
    assert resumed.config["weights_sha256"] == whole.config["weights_sha256"]
    assert metric(resumed, "loss/total") == metric(whole, "loss/total")


def test_a_run_of_another_length_or_other_weights_does_not_go_on_from_it(fit):
    def stop(step, metrics):
        raise StopTraining

    with pytest.raises(StopTraining):
        fit(on_metrics=stop, max_steps=9, checkpoint_every=1, log_every=3)
    with pytest.raises(ValueError, match=r"steps was 9, is 8"):
        fit(max_steps=8)
    with pytest.raises(ValueError, match=r"positive_weights was None, is \[1\.0, 2\.0\]"):
        fit(max_steps=9, positive_weights=torch.tensor([1.0, 2.0]))


def test_a_finished_run_may_be_taken_for_another_of_the_same(fit):
    first = fit(max_steps=3)
    seen = []
    again = fit(max_steps=3, reuse=True, on_metrics=lambda step, _: seen.append(step))
    assert same(first.weights, again.weights)
    assert seen == []


def test_the_learning_rate_follows_from_the_step_alone():
    assert learning_rate_scale(1, 100, 0) == 1
    assert learning_rate_scale(51, 100, 0) == pytest.approx(0.5)
    assert 0 < learning_rate_scale(100, 100, 0) < 0.001
    assert [learning_rate_scale(t, 10**9, 4) for t in (1, 2, 4, 5)] == pytest.approx(
        [0.25, 0.5, 1, 1]
    )


def test_each_step_has_its_learning_rate():
    task = ClassifierTask(
        Classifier("small", 2),
        steps=4,
        learning_rate=0.1,
        weight_decay=0.0,
        warmup=2,
        augmented=False,
    )
    rates = []

    def update(name, loss):
        rates.append(task.optimizers[name].param_groups[0]["lr"])
        return loss

    for step in (1, 2, 3, 4):
        task.step(EXAMPLES, step, update)
    assert rates == pytest.approx([0.1 * learning_rate_scale(t, 4, 2) for t in (1, 2, 3, 4)])


def test_first_weights_are_begun_with(fit, tmp_path):
    before = fit()
    tiny = {"max_steps": 1, "learning_rate": 1e-9, "augment": False}
    cold = fit(**tiny, checkpoints=tmp_path / "cold")
    warm = fit(first_weights=before.weights, **tiny, checkpoints=tmp_path / "warm")
    assert metric(warm, "validation/auroc")[-1] > 0.9 > metric(cold, "validation/auroc")[-1]
    assert warm.config["first_weights"] == before.config["weights_sha256"]


def test_first_weights_of_another_classifier_are_refused(fit, tmp_path):
    before = fit(max_steps=1, checkpoints=tmp_path / "before")
    one = {name: part if name == "pixels" else part[:, :1] for name, part in EXAMPLES.items()}
    with pytest.raises(ValueError, match="do not fit the classifier"):
        fit(one, one, entries=("Mass",), first_weights=before.weights)


def test_positive_weights_raise_what_is_said_of_a_finding(fit):
    unsure = EXAMPLES | {"findings": torch.full((40, 2), 0.25)}
    trained = fit(unsure, unsure, positive_weights=torch.tensor([3.0, 1.0]))
    classifier = ImageClassifier(trained.config, trained.weights, accelerator="cpu")
    said = classifier.probabilities(OTHERS["pixels"][:, 0].numpy()).mean(axis=0)
    # The least loss is at w y / (w y + 1 - y).
    assert said == pytest.approx([0.5, 0.25], abs=0.05)


def test_targets_may_be_unsure(fit):
    unsure = EXAMPLES | {"findings": torch.full((40, 2), 0.25)}
    trained = fit(unsure, unsure)
    # The entropy of 1/4 is as low as it can get.
    assert metric(trained, "loss/total")[-1] == pytest.approx(0.562, abs=0.02)
    assert metric(trained, "validation/auroc") == []


def test_images_are_moved_a_little_and_not_mirrored():
    images = torch.zeros(4, 1, SIZE, SIZE)
    images[:, :, 8:12, 4:8] = 1  # on the upper left
    still = augment(images, torch.zeros(4, 4))
    assert torch.allclose(still, images, atol=1e-5)
    moved = augment(images, 2 * torch.rand(4, 4, generator=random_generator(0, "test")) - 1)
    assert not torch.allclose(moved, images, atol=0.1)
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert (moved[:, :, :, SIZE // 2 :] == 0).all()


def test_every_image_is_moved_as_its_own_numbers_say():
    images = torch.rand(2, 1, SIZE, SIZE, generator=random_generator(0, "test"))
    shift = 4 / SIZE / 0.08  # four pixels, in parts of the greatest shift
    moves = torch.tensor([[shift, 0, 0, 0], [0, shift, 0, 0]])
    moved = augment(images, moves)
    assert torch.allclose(moved[0, 0, :, :-4], images[0, 0, :, 4:], atol=1e-4)
    assert torch.allclose(moved[1, 0, :-4], images[1, 0, 4:], atol=1e-4)


def spoilt(**changes):
    return EXAMPLES | changes


@pytest.mark.parametrize(
    ("examples", "says"),
    [
        (spoilt(pixels=EXAMPLES["pixels"].float()), r"\(40, 1, 32, 32\) torch\.float32, not"),
        (spoilt(pixels=interpolate(EXAMPLES["pixels"], scale_factor=2)), "classifier.image_size"),
        (spoilt(findings=torch.zeros(40, 3)), r"findings are \(40, 3\), not \(40, 2\)"),
        (spoilt(findings=torch.full((40, 2), 2.0)), r"not all in \[0, 1\]: give probabilities"),
        (spoilt(findings=torch.full((40, 2), torch.nan)), r"not all in \[0, 1\]"),
        ({name: part[:1] for name, part in EXAMPLES.items()}, "1 training images are too few"),
    ],
    ids=["floats", "size", "entries", "range", "nan", "few"],
)
def test_examples_that_do_not_fit_are_refused_in_a_line(fit, examples, says):
    with pytest.raises(ValueError, match=says) as error:
        fit(examples)
    assert "\n" not in str(error.value)
