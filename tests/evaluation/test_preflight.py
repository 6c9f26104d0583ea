import pytest

from cxr_pipeline.evaluation.preflight import check_evaluation


@pytest.fixture
def models(tmp_path):
    (tmp_path / "models/gan").mkdir(parents=True)
    (tmp_path / "models/gan/config.json").write_text("{}")
    return tmp_path / "models"


def check(models, wanted=(), synthetic_dir=None, weights=None, to_be_trained=()):
    check_evaluation(
        models,
        wanted=wanted,
        synthetic_dir=synthetic_dir,
        weights=weights,
        to_be_trained=to_be_trained,
    )


def test_what_is_there_or_will_be_is_evaluated(models, tmp_path):
    check(models)
    check(models, wanted=("gan", "vae"), to_be_trained=["vae"])
    check(tmp_path / "none", to_be_trained=["vae"])
    check(tmp_path / "none", synthetic_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"wanted": ("gan", "vae")}, "no trained vae"),
        ({"weights": "nowhere.pt"}, "evaluation.weights='nowhere.pt' is no file"),
        ({"synthetic_dir": "nowhere"}, "evaluation.synthetic_dir='nowhere' is no folder"),
    ],
)
def test_what_is_not_there_is_refused_by_its_name(models, one_line_error, asked, said):
    assert said in one_line_error(check, models, **asked)


def test_nothing_at_all_is_refused(tmp_path, one_line_error):
    assert "nothing to evaluate" in one_line_error(check, tmp_path / "none")
