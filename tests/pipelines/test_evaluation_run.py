"""`kedro run --pipeline=evaluation`, as a user runs it: a GAN of two steps, and a folder."""

import gzip
import json
import re
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
from tests.conftest import FIRST_PATIENT, Project, copy_recognisable

from cxr_pipeline.data.png import encode_png
from cxr_pipeline.data.store import open_store

PATIENTS = 60
SPLITS = "labels.validation=0.3,labels.test=0.3"
GAN = "gan.max_steps=2,gan.batch_size=8,gan.samples=4,gan.conditional=true,gan.sample_at=[-1]"
SMALL = (
    "classifier.image_size=32,classifier.epochs=2,classifier.batch_size=8,evaluation.samples=30,"
    "evaluation.kid_subset=5,evaluation.neighbours=2,evaluation.replicates=20,utility.seeds=1,"
    "utility.epochs=1,utility.shares=0.5,utility.replicates=20"
)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A project whose GAN is evaluated beside a folder of its own training images, twice."""
    project = Project(tmp_path_factory.mktemp("project"))
    raw_dir = copy_recognisable(tmp_path_factory.mktemp("raw"), PATIENTS)

    def run(pipeline, parameters=""):
        given = f"--params=raw_dir={raw_dir},{SPLITS},{SMALL},{GAN}{parameters}"
        result = project.run(f"--pipeline={pipeline}", given)
        assert result.returncode == 0, result.stderr
        return result

    run("gan")
    data = project.folder / "data"
    copies = tmp_path_factory.mktemp("copies")
    (store,) = (data / "02_intermediate/images").iterdir()
    images = open_store(store)
    for number, picture in enumerate(images.read(images.rows(split="train"))):
        (copies / f"{number}.png").write_bytes(encode_png(picture))
    first = run("evaluation", f",evaluation.synthetic_dir={copies}")
    second = run("evaluation", f",evaluation.synthetic_dir={copies}")
    scores = pd.read_csv(data / "08_reporting/evaluation.csv")
    return SimpleNamespace(
        project=project, data=data, run=run, folder=copies.name, scores=scores, first=first,
        second=second,
    )  # fmt: skip


def score(evaluated, model, metric):
    rows = evaluated.scores
    (found,) = rows[(rows["model"] == model) & (rows["metric"] == metric)].to_dict("records")
    return found


def test_every_metric_is_measured_of_the_model_the_folder_and_real_images(evaluated):
    rows = evaluated.scores
    assert list(rows.columns) == ["model", "metric", "value", "low", "high", "n"]
    assert set(rows["model"]) == {"gan", evaluated.folder, "real"}
    shared = {
        "fidelity/power_spectrum", "fidelity/sliced_wasserstein", "diversity/ms_ssim",
        "memorisation/copies", "memorisation/authenticity", "memorisation/closer_in_pixels",
        "memorisation/closer_in_features",
    }  # fmt: skip
    of_features = {
        f"{metric}/{extractor}"
        for metric in (
            "fidelity/frechet_distance", "fidelity/kid", "fidelity/precision", "fidelity/density",
            "diversity/recall", "diversity/coverage",
        )
        for extractor in ("classifier", "random")
    }  # fmt: skip
    for model in ("gan", evaluated.folder, "real"):
        own = set(rows.loc[rows["model"] == model, "metric"])
        assert shared | of_features <= own
    assert (rows["low"] <= rows["value"]).all()
    assert (rows["value"] <= rows["high"]).all()
    assert score(evaluated, "gan", "agreement/auroc")["n"] == 30
    arms = {metric for metric in rows["metric"] if metric.startswith("utility/")}
    assert {"utility/duplicated_50", "utility/synthetic_50", "utility/pretrained"} <= arms


def test_a_folder_of_training_images_is_found_to_be_copies(evaluated):
    assert score(evaluated, evaluated.folder, "memorisation/copies")["value"] > 0.9
    assert score(evaluated, evaluated.folder, "memorisation/authenticity")["value"] == 0
    assert score(evaluated, "gan", "memorisation/copies")["value"] < 0.1


def test_samples_are_exported_after_the_audit_with_cards(evaluated):
    released = evaluated.data / "07_model_output/released"
    assert [path.name for path in released.iterdir()] == ["gan"]
    provenance = json.loads((released / "gan/provenance.json").read_text())
    assert (provenance["audited"], provenance["images"]) == (True, 30)
    assert len([*(released / "gan/images").iterdir()]) == 30
    weights = json.loads((evaluated.data / "06_models/gan/config.json").read_text())
    for card in ("06_models/gan/MODEL_CARD.md", "06_models/gan/DATASHEET.md"):
        assert weights["weights_sha256"][:16] in (evaluated.data / card).read_text()
    assert "NIH Clinical Center" in (released / "gan/DATASHEET.md").read_text()


def test_the_page_has_the_scorecard_and_the_run_ends_with_it(evaluated):
    page = (evaluated.data / "08_reporting/report.html").read_text()
    assert "Scorecard" in page
    assert "Would the audit see copies?" in page
    assert "Frechet distance" in evaluated.first.stdout
    assert "real images" in evaluated.first.stdout


def test_a_second_run_trains_draws_and_describes_nothing_anew(evaluated):
    for sign in ("Utility: trained", "images to do", "images/s"):
        assert sign in evaluated.first.stderr
        assert sign not in evaluated.second.stderr
    tables = evaluated.data / "08_reporting"
    assert pd.read_csv(tables / "evaluation.csv").equals(evaluated.scores)


def test_a_model_trained_anew_has_no_scores_until_it_is_evaluated_anew(evaluated):
    card = evaluated.data / "06_models/gan/MODEL_CARD.md"
    before = card.read_text()
    took = re.search(r".*training time.*\n", before).group()
    weights = (evaluated.data / "06_models/gan/weights.safetensors").read_bytes()
    evaluated.run("gan", ",gan.seed=7")
    assert (evaluated.data / "06_models/gan/weights.safetensors").read_bytes() != weights
    config = json.loads((evaluated.data / "06_models/gan/config.json").read_text())
    assert config["weights_sha256"][:16] in card.read_text()
    unscored = "There are no scores of these weights"
    assert unscored in card.read_text()
    assert unscored not in before
    assert "out of date" in (evaluated.data / "08_reporting/report.html").read_text()
    evaluated.run("gan")
    assert (evaluated.data / "06_models/gan/weights.safetensors").read_bytes() == weights
    # Trained again it took another time.
    assert re.sub(r".*training time.*\n", took, card.read_text()) == before


def test_mlflow_has_the_scores_of_each_in_a_run_of_its_own(evaluated):
    client = mlflow.MlflowClient(evaluated.project.database)
    (experiment,) = client.search_experiments(filter_string="name = 'cxr_pipeline'")
    runs = client.search_runs([experiment.experiment_id])
    named = [run for run in runs if run.info.run_name.startswith("scores of ")]
    assert sorted({run.info.run_name for run in named}) == sorted(
        f"scores of {model}" for model in ("gan", evaluated.folder, "real")
    )
    of_gan = next(run for run in named if run.info.run_name == "scores of gan")
    metric = "fidelity/frechet_distance/classifier"
    assert of_gan.data.metrics[metric] == pytest.approx(score(evaluated, "gan", metric)["value"])
    assert of_gan.info.status == "FINISHED"
    # Beside it: MLflow's charts leave out what is nested.
    assert "mlflow.parentRunId" not in of_gan.data.tags
    outer = client.get_run(of_gan.data.tags["part_of"])
    assert outer.info.run_name.startswith("evaluation on ")


def test_no_image_name_and_no_patient_s_number_leaves(evaluated):
    numbers = [str(FIRST_PATIENT + number).encode() for number in range(PATIENTS)]
    folder = evaluated.project.folder
    leaving = [folder / "tracking.db", evaluated.data / "08_reporting/report.html"]
    leaving += [path for path in (folder / "mlruns").rglob("*") if path.is_file()]
    leaving += [path for path in (folder / "mlartifacts").rglob("*") if path.is_file()]
    leaving += [*(evaluated.data / "07_model_output/released").rglob("*.*")]
    leaving += [*evaluated.data.glob("06_models/gan/*.md")]
    assert len(leaving) > 40
    for path in leaving:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        assert not [number for number in numbers if number in content], path


def test_a_model_that_is_not_trained_is_refused_by_its_name(evaluated):
    command = f"--params={SPLITS},{SMALL},{GAN},evaluation.models=vae"
    result = evaluated.project.run("--pipeline=evaluation", command)
    assert result.returncode != 0
    assert "there is no trained vae" in result.stderr.splitlines()[-1]


def test_of_two_images_the_audit_is_done_and_the_rest_says_what_it_lacks(evaluated, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    images = sorted((evaluated.data / "07_model_output/gan/images").iterdir())[:2]
    for path in images:
        (few / path.name).write_bytes(path.read_bytes())
    evaluated.run("evaluation", f",evaluation.synthetic_dir={few}")
    tables = evaluated.data / "08_reporting"
    record = json.loads((tables / "evaluation.json").read_text())
    reasons = {
        row["metric"]: row["reason"] for row in record["missing"] if row["model"] == few.name
    }
    assert "evaluation.kid_subset=5" in reasons["fidelity/kid/random"]
    assert "evaluation.neighbours=2" in reasons["fidelity/precision/random"]
    rows = pd.read_csv(tables / "evaluation.csv")
    found = set(rows.loc[rows["model"] == few.name, "metric"])
    assert {"memorisation/copies", "fidelity/power_spectrum"} <= found
    # The others are measured as if it were not there.
    of_gan = rows[(rows["model"] == "gan") & (rows["metric"] == "fidelity/kid/random")]
    assert of_gan["n"].item() == score(evaluated, "gan", "fidelity/kid/random")["n"]
