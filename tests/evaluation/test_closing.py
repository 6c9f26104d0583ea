import json

import pandas as pd
import pytest

from cxr_pipeline.evaluation.closing import closing_message

PARAMETERS = {"gan": 6_402_880, "gmvae": 52_932_727}


def config(model, **more):
    own = {"steps": 140, "images_per_second": 40.0, "warnings": [], "architecture": {}}
    counts = {"learned_parameters": PARAMETERS[model]} if model in PARAMETERS else {}
    return {"model": model, **own, **counts, **more}


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """Write files as a run does; those written are what it made."""
    monkeypatch.chdir(tmp_path)
    made = {}

    def keep(name, path, content=None):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pd.DataFrame):
            write = content.to_parquet if path.suffix == ".parquet" else content.to_csv
            write(path, index=False)
        else:
            path.write_text(json.dumps(content))
        made[name] = path
        return made

    return keep


def keep_labels(keep):
    splits = ["train", "train", "train", "validation"]
    patients = [f"00{number}7007" for number in (1, 1, 2, 3)]
    keep("labels", "data/labels.parquet", pd.DataFrame({"patient": patients, "split": splits}))
    counts = {"finding": ["No Finding", "Mass"], "count": [3, 1200], "paper": [59_406, 5_782]}
    return keep("class_counts", "data/class_counts.csv", pd.DataFrame(counts))


def keep_images(keep):
    what = ["rows of the labels", "not selected", "listed for the store", "kept", "quarantined"]
    rows = {"what": [*what, "quarantined: empty file"], "images": [1004, 0, 1004, 1002, 2, 2]}
    return keep("image_accounting", "data/image_accounting.csv", pd.DataFrame(rows))


def keep_model(keep, model, metrics, **more):
    keep(f"{model}.config", f"data/06_models/{model}/config.json", config(model, **more))
    rows = [(step, name, value + 1 / step) for step in (1, 100) for name, value in metrics.items()]
    table = pd.DataFrame(rows, columns=["step", "metric", "value"])
    keep(f"{model}.history", f"data/08_reporting/{model}/history.csv", table)
    return keep(f"{model}.samples", f"data/08_reporting/{model}/samples.png")


def keep_counts(keep):
    rows = [
        ("gan", "total", 6_402_880, 6_402_880, None),
        ("gmvae", "total, encoder frozen", 52_932_727, 172_800, 172_800),
        ("gmvae", "total, encoder fine-tuned", 67_647_415, 14_887_488, 14_887_488),
    ]
    columns = ["model", "component", "parameters", "paper", "counted_as_paper"]
    path = "data/08_reporting/parameter_counts.csv"
    return keep("parameter_counts", path, pd.DataFrame(rows, columns=columns))


def cells(message, row):
    """A row's numbers: what stands behind the two blanks after its name."""
    (line,) = [line for line in message.splitlines() if line.strip().startswith(row)]
    return line.strip().removeprefix(row).split()


def test_labels_alone_are_counted_beside_the_paper_s(keep):
    message = closing_message(keep_labels(keep))
    assert "4 images of 3 patients: 3 train, 1 validation, 0 test" in message
    assert cells(message, "No Finding") == ["3", "59,406"]
    assert cells(message, "Mass") == ["1,200", "5,782"]
    assert "data/class_counts.csv" in message
    assert "7007" not in message


def test_where_images_were_made_too_they_are_accounted_for_in_the_place_of_classes(keep):
    keep_labels(keep)
    message = closing_message(keep_images(keep))
    assert "1,002 kept, 2 quarantined, 0 not selected" in message
    assert "2 empty file" in message
    assert "59,406" not in message


def test_models_stand_side_by_side_with_the_paper_s_numbers_below_theirs(keep):
    keep_model(keep, "gan", {"loss/generator": 0.5, "gradient/generator": 3.0})
    metrics = {"loss/total": 172.0, "validation/loss": 5.0}
    keep_model(keep, "gmvae", metrics, architecture={"fine_tune": False})
    message = closing_message(keep_counts(keep))
    assert cells(message, "gan") == ["gmvae"]
    assert cells(message, "parameters") == ["6,402,880", "52,932,727"]
    assert cells(message, "counted as the paper does") == ["172,800"]
    assert cells(message, "the paper, Table 5") == ["6,402,880", "172,800"]
    # The mean of steps 1 and 100, which both are among the last fifty recorded.
    assert cells(message, "loss/generator") == ["1.005"]
    assert cells(message, "loss/total") == ["172.5"]
    assert cells(message, "the paper, on a T4") == ["31.0", "24.8"]
    assert cells(message, "an epoch of 44,625 images") == ["18.6", "min", "18.6", "min"]
    assert cells(message, "the paper, on its T4") == ["24.0", "min", "30.0", "min"]
    assert "gradient" not in message
    assert "data/08_reporting/{gan,gmvae}/samples.png" in message
    assert max(map(len, message.splitlines())) <= 80


def test_the_paper_s_other_row_is_taken_of_a_gmvae_whose_encoder_is_trained(keep):
    tuned = {"fine_tune": True}
    keep_model(keep, "gmvae", {}, architecture=tuned, learned_parameters=67_647_415)
    message = closing_message(keep_counts(keep))
    assert cells(message, "the paper, Table 5") == ["14,887,488"]
    assert cells(message, "the paper, on its T4") == ["65.0", "min"]


def test_parameters_alone_are_counted_beside_table_5(keep):
    message = closing_message(keep_counts(keep))
    assert cells(message, "gan") == ["6,402,880", "6,402,880"]
    assert cells(message, "gmvae, encoder frozen") == ["52,932,727", "172,800", "172,800"]


def test_a_model_that_the_paper_has_not_is_not_counted_beside_it(keep):
    keep_model(keep, "autoencoder", {"loss/total": 1.5})
    message = closing_message(keep_counts(keep))
    assert cells(message, "loss/total") == ["2.005"]
    assert "paper" not in message


def test_what_is_wrong_with_a_model_is_said(keep):
    message = closing_message(keep_model(keep, "vae", {}, warnings=["the posterior collapsed"]))
    assert "Warning, vae: the posterior collapsed" in message


def test_each_member_of_a_sweep_has_a_row(keep):
    rows = {"member": ["beta_1", "beta_0.1"], "steps": 9.0, "images_per_second": [30.1, 20.0]}
    table = pd.DataFrame(rows | {"loss/total": [1234.5, 0.25], "warnings": 0.0})
    message = closing_message(keep("vae_beta_sweep.summary", "data/summary.csv", table))
    assert "vae_beta_sweep" in message
    assert cells(message, "beta_0.1") == ["9", "20", "0.25"]


def test_large_numbers_are_written_out_and_no_column_left_out_in_a_narrow_terminal(
    keep, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "40")
    rows = {"member": ["beta_1"], "steps": 31_380, "images_per_second": 30.1}
    losses = {"loss/total": 12_572.8, "loss/reconstruction": 12_000.4, "loss/kl": 572.4}
    table = pd.DataFrame(rows | losses)
    message = closing_message(keep("vae_beta_sweep.summary", "data/summary.csv", table))
    assert cells(message, "beta_1") == ["31,380", "30.1", "12,573", "12,000", "572.4"]


def test_of_several_models_only_their_own_folder_is_folded(keep, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    for model in ("gan", "vae"):
        keep_model(keep, model, {})
        made = keep(f"{model}.samples", f"gan/data/{model}/samples.png")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert f"{tmp_path}/gan/data/{{gan,vae}}/samples.png" in closing_message(made)


def test_how_to_look_is_said_of_what_can_be_looked_at(keep):
    page = keep("report", "data/08_reporting/report.html")
    assert ".venv/bin/kedro viz" in closing_message(page, kedro=".venv/bin/kedro")


def test_of_what_is_not_tracked_only_the_place_is_said(keep):
    message = closing_message(keep("pruned", "data/08_reporting/pruned.csv"))
    assert "data/08_reporting/pruned.csv" in message
    assert "mlflow" not in message


def test_nothing_made_is_nothing_said(tmp_path):
    assert closing_message({"report": tmp_path / "report.html"}) == ""
