import pytest
import torch
from safetensors.torch import save_file
from tests.training.tasks import save_checkpoint

from cxr_pipeline.models.encoders import ImageEncoder
from cxr_pipeline.training.checkpoint import mark_finished
from cxr_pipeline.training.preflight import check_encoder, check_training

PARAMETERS = {
    "beta": 1.0,
    "seed": 0,
    "selection": {"findings": [], "views": ["PA"]},
    "epochs": 2,
    "batch_size": 4,
    "max_steps": None,
    "accelerator": "cpu",
    "precision": "32-true",
    "compile": False,
    "samples": 4,
    "resume": True,
}


@pytest.fixture
def write(checkpoints):
    """Write a checkpoint of step 3, as the engine does."""

    def write(**identity):
        own = {
            key: PARAMETERS[key] for key in ("batch_size", "beta", "compile", "seed", "selection")
        }
        later = {"image_store_digest": "abc", "encoder": {"name": "vgg16"}}
        identity = {"model": "vae", **later, **own, "precision": "32-true"} | identity
        save_checkpoint(checkpoints, identity=identity, notes={"mlflow_run": "a"})

    return write


@pytest.fixture
def check(checkpoints):
    def check(**changes):
        return check_training("vae", PARAMETERS | changes, checkpoints)

    return check


@pytest.fixture
def refusal(check):
    def refusal(**changes):
        with pytest.raises(ValueError, match=r"\S") as caught:
            check(**changes)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refusal


def test_a_checkpoint_of_the_same_run_is_taken_whatever_its_images(write, check):
    write()
    check()
    check(max_steps=3)
    check(samples=8, epochs=7, max_steps=100)


def test_the_notes_of_what_will_be_resumed_are_known_before_any_data(write, check, checkpoints):
    assert check(resume="auto") == {}
    write()
    for resume in (True, "auto"):
        assert check(resume=resume, max_steps=100) == {"mlflow_run": "a"}
    assert check(resume=False) == {}
    mark_finished(checkpoints)
    assert check(resume=True) == {"mlflow_run": "a"}
    assert check(resume="auto") == {}


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"beta": 0.1}, "(beta was 1.0, is 0.1)"),
        ({"beta": 0.1, "seed": 7}, "(beta was 1.0, is 0.1, seed was 0, is 7)"),
        ({"centre": True}, "(centre was None, is True)"),
        ({"precision": "bf16-mixed"}, "(precision was '32-true', is 'bf16-mixed')"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused_with_the_difference(
    write, check, refusal, checkpoints, changes, difference
):
    write()
    for resume in (True, "auto"):
        assert refusal(**changes, resume=resume) == (
            f"the unfinished training in '{checkpoints}' is of another run {difference}: "
            "set resume=false to start anew"
        )
    check(**changes, resume=False)
    mark_finished(checkpoints)
    check(**changes, resume="auto")


def test_another_model_s_checkpoint_is_refused(write, refusal):
    write(model="gan")
    assert "(model was 'gan', is 'vae')" in refusal()


def test_a_checkpoint_past_the_steps_asked_for_is_refused(write, refusal):
    write()
    assert "is of step 3, past the 2 asked for: set resume=false" in refusal(max_steps=2)


def test_resuming_without_a_checkpoint_is_refused_and_makes_no_folder(check, refusal, checkpoints):
    assert refusal() == f"resume=true, but '{checkpoints}' holds no checkpoint: set resume=false"
    for resume in ("auto", False):
        check(resume=resume)
    assert not checkpoints.exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"step": 3, "identity": 1, "tensors": ""}'])
def test_resuming_from_a_damaged_record_is_refused(write, refusal, checkpoints, content):
    write()
    record = checkpoints / "000001_step_3.json"
    record.write_text(content)
    message = refusal()
    assert f"checkpoint '{record}' is damaged (" in message
    assert f"so is every other: delete '{checkpoints}'" in message
    # To begin anew would destroy what might be rescued.
    assert refusal(resume="auto") == message


def test_resuming_from_damaged_tensors_is_refused(write, refusal, checkpoints):
    write()
    (checkpoints / "000001_step_3.safetensors").write_bytes(b"no tensors")
    assert "is damaged (000001_step_3.safetensors: wrong SHA-256)" in refusal()


def test_devices_and_numbers_that_there_are_not_are_refused(refusal, check, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check(resume="auto")
    message = "accelerator=cuda is not there: set it to auto or cpu"
    assert refusal(resume="auto", accelerator="cuda") == message
    message = "precision=16-mixed needs a CUDA GPU, not cpu: set it to auto"
    assert refusal(resume="auto", precision="16-mixed", accelerator="auto") in {
        message,
        message.replace("not cpu", "not mps"),
    }


def test_a_batch_that_the_processes_cannot_share_is_refused(refusal, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "some")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert "batch_size=4 cannot be split equally among 3 processes" in refusal()


def test_images_of_another_size_are_refused_if_the_size_is_known(checkpoints):
    own = PARAMETERS | {"resume": "auto"}
    check_training("vae", own, checkpoints, image_size=128)
    with pytest.raises(ValueError, match=r"the vae draws 128 px .* preprocessing\.size=128"):
        check_training("vae", own, checkpoints, image_size=64)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "dense.safetensors"
    save_file(ImageEncoder("densenet121", normalise=True).state_dict(), file)
    return str(file)


def test_weights_that_fit_are_taken_and_random_ones_always(weights):
    check_encoder("densenet121", weights)
    check_encoder("vgg16", None)


def test_another_encoder_s_weights_are_refused(weights):
    with pytest.raises(ValueError, match=r"does not fit vgg16 at .*gmvae\.weights=null"):
        check_encoder("vgg16", weights)


def test_weights_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"gmvae\.weights='.*absent\.pth' is no file"):
        check_encoder("vgg16", str(tmp_path / "absent.pth"))
