import pytest

from cxr_pipeline.evaluation.headline import headline

GAN = {"model": "gan", "architecture": {}, "steps": 1234, "images_per_second": 62.0}


@pytest.fixture
def reports(tmp_path):
    (tmp_path / "parameter_counts.csv").write_text(
        "model,component,parameters,paper\ngan,generator,3606976,3606976\n"
        "gan,total,6402880,6402880\nvae,total,99,\n"
    )
    (tmp_path / "gmvae_versions.csv").write_text(
        "version,total,total_as_paper\nfs_v1,158038372,\nv8,67647415,14887488\n"
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
    told = facts(GAN | {"model": "vae"}, reports)
    assert [name for name in told if name.startswith("loss")] == ["loss: total"]
    assert told["loss: total"] == ("1,235", "")
    assert told["parameters"] == ("99", "")


@pytest.mark.parametrize(
    ("version", "here", "paper"),
    [("v8", "67,647,415", "14,887,488"), ("fs_v1", "158,038,372", ""), ("own", "", "")],
)
def test_a_gmvae_s_parameters_are_those_of_its_version(reports, version, here, paper):
    config = GAN | {
        "model": "gmvae",
        "architecture": {"fine_tune": True},
        "parameters": {"version": version},
    }
    told = facts(config, reports)
    assert told["parameters"] == (here, paper)
    assert told["min an epoch"][1] == "65"


def test_without_tables_the_rest_is_told(tmp_path):
    assert facts(GAN, tmp_path)["parameters"] == ("", "")
