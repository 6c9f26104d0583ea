import pytest

from cxr_pipeline.evaluation.headline import headline

GAN = {
    "model": "gan",
    "architecture": {},
    "steps": 1234,
    "images_per_second": 62.0,
    "learned_parameters": 6402880,
}


@pytest.fixture
def reports(tmp_path):
    (tmp_path / "parameter_counts.csv").write_text(
        "model,component,parameters,paper,counted_as_paper\ngan,generator,3606976,3606976,\n"
        "gan,total,6402880,6402880,\nvae,total,99,,\n"
        'gmvae,"total, encoder frozen",52932727,172800,172800\n'
        'gmvae v6,"total, encoder frozen",53086327,,172800\n'
    )
    return tmp_path


def facts(config, reports):
    return {fact.name: (fact.here, fact.paper) for fact in headline(config, reports)}


def save_history(reports, model, rows):
    (reports / model).mkdir()
    (reports / model / "history.csv").write_text("step,metric,value\n" + "\n".join(rows))


def test_numbers_stand_beside_the_paper_s(reports):
    assert facts(GAN, reports) == {
        "parameters": ("6,402,880", "6,402,880"),
        "images/s": ("62", "31"),
        "min an epoch": ("12", "24"),
        "steps": ("1,234", ""),
    }


def test_losses_at_the_end_are_means_over_the_last_steps_and_qualities_the_last(reports):
    rows = [f"{step},loss/generator,{100 if step <= 10 else 0.5}" for step in range(1, 61)]
    rows += ["20,quality/diversity,0.1", "60,quality/diversity,0.25", "60,latent/units,3"]
    save_history(reports, "gan", rows)
    told = facts(GAN, reports)
    assert told["loss: generator"] == ("0.5", "")
    assert told["diversity"] == ("0.25", "")
    assert not [name for name in told if "units" in name]


def test_of_losses_with_a_total_only_that_is_told(reports):
    save_history(reports, "vae", ["1,loss/kl,1", "1,loss/total,1234.56"])
    told = facts(GAN | {"model": "vae", "learned_parameters": 99}, reports)
    assert [name for name in told if name.startswith("loss")] == ["loss: total"]
    assert told["loss: total"] == ("1,235", "")
    assert told["parameters"] == ("99", "")


@pytest.mark.parametrize(
    ("learned", "here", "paper"),
    [
        (52_932_727, "52,932,727", "172,800"),
        (53_086_327, "53,086,327", ""),  # counted the paper's way, but not by the paper
        (17, "17", ""),
    ],
)
def test_beside_a_gmvae_stands_what_the_paper_counted_of_one_of_its_size(
    reports, learned, here, paper
):
    frozen = {"fine_tune": False}
    config = GAN | {"model": "gmvae", "architecture": frozen, "learned_parameters": learned}
    told = facts(config, reports)
    assert told["parameters"] == (here, paper)
    assert told["min an epoch"][1] == "30"


def test_without_tables_the_rest_is_told(tmp_path):
    assert facts(GAN, tmp_path)["parameters"] == ("", "")
