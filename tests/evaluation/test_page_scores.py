import json
import shutil

import pytest
from tests.evaluation.report_page import Page, missing, save_finished, spoken
from tests.evaluation.scores import SUBJECTS, save_scores

from cxr_pipeline.evaluation.report import render_report


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    save_finished(folder)
    return folder


@pytest.fixture
def folders(finished, tmp_path):
    """The same, to change."""
    folder = shutil.copytree(finished, tmp_path / "finished")
    return folder / "reports", folder / "models"


def test_scores_stand_near_the_top_the_models_side_by_side(folders):
    reports, models = folders
    save_scores(reports, models)
    html = render_report(reports, models)
    page = Page(html)
    assert (
        html.index('id="models"') < html.index('aria-label="Scorecard"') < html.index('id="paper"')
    )
    assert ["metric", "gan", "vae", "gmvae", "folder", "real images", "images"] in page.rows
    (row,) = (row for row in page.rows if row[0].startswith("Frechet distance, random"))
    assert [" ".join(cell.split()) for cell in row[1:]] == [
        "0.41 [0.36, 0.46]",
        "0.38 [0.33, 0.43]",
        "0.50 [0.45, 0.55]",
        "0.12 [0.07, 0.17]★ best, as real",
        "0.12 [0.07, 0.17]",
        "26",
    ]
    text = spoken(page)
    assert "The release gate of gan is closed: 15.0% of 256 samples" in text
    assert "1. not" not in text  # the list counts by itself
    assert "it was not asked for findings: set gan.conditional=true" in text
    assert {
        "Fidelity and diversity by metric and extractor",
        "Memorisation by metric",
        "The classifier, finding by finding",
        "Agreement of samples with the findings asked for",
        "What each arm changes for a classifier",
        "Distances to the nearest training image",
        *(f"Closest pairs of {name}" for name in SUBJECTS),
    } <= set(page.images)
    assert ["flipped", "13", "100% [85%, 100%]", "69% [54%, 79%]"] in page.rows
    assert "evaluation" not in missing(page)


def test_scores_of_some_parts_alone_hide_no_others(folders):
    reports, models = folders
    (reports / "evaluation.csv").write_text(
        "model,metric,value,low,high,n\ngan,fidelity/new/random,0.0123456,0.01,0.02,64\n"
    )
    page = Page(render_report(reports, models))
    (row,) = (row for row in page.rows if row[0].startswith("new, random"))
    assert " ".join(row[1].split()) == "0.012 [0.010, 0.020]"
    assert "evaluation" not in missing(page)
    assert "Closest pairs" not in spoken(page)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("evaluation.csv", "model,metric\n", "lacks the column value"),
        ("evaluation.json", "{", "is damaged"),
        ("evaluation/utility.csv", "", "is damaged"),
    ],
)
def test_damaged_scores_are_named(folders, one_line_error, name, content, said):
    reports, models = folders
    save_scores(reports, models)
    (reports / name).write_text(content)
    message = one_line_error(render_report, reports, models)
    assert said in message
    assert str(reports / name) in message


def test_a_model_that_was_trained_anew_has_no_scores_on_the_page(folders):
    reports, models = folders
    save_scores(reports, models)
    config = models / "gan" / "config.json"
    changed = json.loads(config.read_text()) | {"weights_sha256": "0" * 64}
    config.write_text(json.dumps(changed))
    page = Page(render_report(reports, models))
    (row,) = (row for row in page.rows if row[0].startswith("Frechet distance, random"))
    assert "[" not in row[1]  # no interval, so no number
    assert "[" in row[2]
    assert "out of date" in spoken(page)


def test_what_has_no_cell_and_could_not_be_measured_is_told(folders):
    reports, models = folders
    save_scores(reports, models)
    path = reports / "evaluation.json"
    record = json.loads(path.read_text())
    reason = "none of 48 held-out images show Mass: hold out more patients"
    record["missing"].append({"model": "real", "metric": "utility/Mass", "reason": reason})
    path.write_text(json.dumps(record))
    assert f"utility/Mass, real: {reason}" in spoken(Page(render_report(reports, models)))
