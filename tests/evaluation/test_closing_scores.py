from tests.evaluation.scores import save_scores

from cxr_pipeline.evaluation.closing import closing_message


def message(tmp_path, *names):
    reports = tmp_path / "reports"
    save_scores(reports, tmp_path / "models")
    places = {
        "evaluation.scores": reports / "evaluation.csv",
        "classifier.scores": reports / "classifier" / "scores.csv",
    }
    return closing_message({name: places[name] for name in names})


def test_a_few_scores_are_said_beside_those_of_real_images(tmp_path):
    said = message(tmp_path, "evaluation.scores")
    lines = [line.split() for line in said.splitlines()]
    assert ["gan", "vae", "gmvae", "folder", "real", "images"] in lines
    assert ["Frechet", "distance", "↓", "24", "62", "58", "9", "9"] in lines
    assert ["copies", "↓", "0.15", "0.000", "0.010", "0.000", "0.000"] in lines
    assert "The release gate of gan is closed" in said
    assert "extractors disagree" in said
    assert "evaluation.csv" in said
    assert max(len(line) for line in said.split("Look at")[0].splitlines()) <= 80


def test_the_classifier_is_said_with_its_interval(tmp_path):
    said = message(tmp_path, "classifier.scores")
    assert "mean AUROC 0.79 [0.70, 0.87] of 3 findings, above 0.9 of 1" in said
    assert "Frechet" not in said
