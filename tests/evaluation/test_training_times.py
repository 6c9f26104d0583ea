import json

import pytest

from cxr_pipeline.evaluation.training_times import COLUMNS, training_times


@pytest.fixture
def save(tmp_path):
    def save(folder, **changes):
        config = {
            "model": "gan",
            "architecture": {},
            "data": "cxr14",
            "training_images": 44_625,
            "images_per_second": 223.125,
            "environment": {"device": "A quick GPU", "precision": "bf16-mixed"},
        }
        path = tmp_path / folder / "config.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(config | changes))
        return tmp_path

    return save


def test_an_epoch_s_time_stands_beside_the_paper_s(save):
    (row,) = training_times(save("gan")).to_dict("records")
    assert row == {
        "model": "gan",
        "data": "cxr14",
        "images": 44_625,
        "images_per_second": 223.1,
        "seconds_per_epoch": 200.0,
        "machine": "A quick GPU",
        "precision": "bf16-mixed",
        "minutes_per_paper_epoch": 3.3,
        "paper_minutes_per_epoch": 24,
    }


@pytest.mark.parametrize(
    ("model", "architecture", "name", "minutes"),
    [
        ("vae", {}, "vae", 48),
        ("gmvae", {"fine_tune": False}, "gmvae, frozen", 30),
        ("gmvae", {"fine_tune": True}, "gmvae, fine-tuned", 65),
    ],
)
def test_each_model_has_its_own_row_of_table_5(save, model, architecture, name, minutes):
    (row,) = training_times(save(model, model=model, architecture=architecture)).to_dict("records")
    assert (row["model"], row["paper_minutes_per_epoch"]) == (name, minutes)


def test_models_that_are_not_trained_and_members_of_sweeps_have_no_row(save, tmp_path):
    (tmp_path / "vae/checkpoint").mkdir(parents=True)
    models = save("vae_beta_sweep/beta_1", model="vae")
    empty = training_times(models)
    assert list(empty.columns) == COLUMNS
    assert empty.empty
    assert training_times(save("gan"))["model"].tolist() == ["gan"]
