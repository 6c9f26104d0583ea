import base64
import gzip
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from plotly.offline import get_plotlyjs
from tests.evaluation.report_page import (
    Page,
    missing,
    picture_of,
    save_finished,
    save_gmvae,
    save_picture,
    spoken,
)

from cxr_pipeline.data.findings import PAPER_COUNTS
from cxr_pipeline.evaluation.report import MODELS, SWEEPS, render_report


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    save_finished(folder)
    return folder


@pytest.fixture(scope="module")
def html(finished):
    return render_report(finished / "reports", finished / "models")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture
def folders(finished, tmp_path):
    """The same, to change."""
    folder = shutil.copytree(finished, tmp_path / "finished")
    return folder / "reports", folder / "models"


@pytest.fixture
def empty(tmp_path):
    folders = tmp_path / "reports", tmp_path / "models"
    for folder in folders:
        folder.mkdir()
    return folders


def test_the_page_needs_no_other_file_and_no_network(page):
    elsewhere = [address for address in page.addresses if not address.startswith("#")]
    assert len(elsewhere) == len(page.images) + 1  # the icon
    assert all(address.startswith("data:") for address in elsewhere)
    assert not re.search(r"@import|url\(", "".join(page.styles))
    own = [text for attrs, text in page.scripts if not attrs]
    assert len(own) == 1
    assert not re.search(
        r"https?:|//\w|import\(|fetch\(|XMLHttp|\.src\b", own[0].replace("// ", "")
    )


def test_browsers_are_told_to_load_nothing(html):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', html)
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))
    assert allowed.pop("default-src") == "'none'"
    assert {word for words in allowed.values() for word in words.split()} == {
        "data:",
        "blob:",
        "'unsafe-inline'",
    }


def test_plotly_is_carried_once_and_whole(page):
    (packed,) = [text for attrs, text in page.scripts if attrs.get("id") == "plotly"]
    data = base64.b64decode(packed)
    assert gzip.decompress(data).decode() == get_plotlyjs()
    assert data[4:8] == bytes(4)  # no time: each rendering would differ


def test_the_same_files_give_the_same_page(html, folders):
    reports, models = folders
    for path in reports.rglob("*"):
        os.utime(path, (0, 0))
    assert render_report(reports, models) == html


def test_what_is_linked_to_is_there_once(page):
    assert len(set(page.ids)) == len(page.ids)
    targets = [address[1:] for address in page.addresses if address.startswith("#")]
    assert set(targets) <= set(page.ids)
    parts = ["models", "scores", "paper", "data", *MODELS, "sweeps", "parameters", "times"]
    assert targets[: len(parts) + 1] == [*parts, "environment"]


def test_the_paper_s_list_leads_to_each_table_and_figure(html, page):
    text = spoken(page)
    for number in range(1, 6):
        assert f"Table {number} " in text
    links = re.findall(r'<li><b>(.*?)</b> <span><a href="#(.*?)"', html)
    assert links.pop(5) == ("Table 5", "times")
    assert dict(links) == {
        "Table 1": "table-1",
        "Table 2": "table-2",
        "Table 3": "table-3",
        "Table 4": "table-4",
        "Table 5": "table-5",
        "Fig. 4": "fig-4",
        "Fig. 5": "fig-5",
        "Fig. 6": "fig-6",
        "Fig. 7": "fig-7",
        "Fig. 8": "fig-8",
        "Fig. 9": "fig-9",
        "Fig. 10": "fig-10",
    }
    assert "Figs. 1 to 3 samples of each GMVAE version, not yet: kedro run" in text


def test_the_paper_s_list_leads_nowhere_while_a_model_is_in_training(folders):
    reports, models = folders
    (models / "gan" / "config.json").unlink()
    page = Page(render_report(reports, models))
    assert {address[1:] for address in page.addresses if address[0] == "#"} <= set(page.ids)
    assert "Fig. 9 GAN losses, not yet: kedro run --pipeline=gan" in spoken(page)


def test_training_times_without_a_row_are_not_made_yet(folders):
    reports, models = folders
    header = (reports / "training_times.csv").read_text().splitlines()[0]
    (reports / "training_times.csv").write_text(header + "\n")
    page = Page(render_report(reports, models))
    assert "Table 5 training times, not yet: kedro run --pipeline=gan" in spoken(page)


def test_pictures_look_as_they_are_on_disk(page):
    sheets = {
        "Images after resizing, cropping and equalising": 10,
        "Synthetic images of the GAN": 20,
        "Synthetic images of the VAE": 20,
        "Reconstructions by the VAE": 21,
        "Samples from the prior and from the mixture": 22,
        "Latents of the VAE: same noise": 70,
    }
    first_rows = {
        "Samples of the GAN, step 0": 30,
        "Samples of the GAN, step 400": 40,
        "Samples of the GAN, step 1,200": 50,
        "First synthetic images of the GAN": 20,
    }
    halves = {"The VAE for each beta: samples, beta 1": 60}
    for height, levels in ((6, sheets), (4, first_rows), (3, halves)):
        for text, level in levels.items():
            picture = picture_of(page.images[text])
            assert picture.shape[:2] == (height, 8)
            assert np.abs(picture.astype(int) - level).max() <= 2


def test_charts_are_pictures_where_scripts_are_off(page):
    images = page.images
    assert picture_of(images["Images a finding"]).shape[1] == 11.5 * 120
    assert "Images that have two findings" in images
    assert picture_of(images["Losses of the GAN"]).shape[:2] == (540, 960)
    assert picture_of(images["Diagnostics of the VAE"]).shape[:2] == (288, 1152)
    assert picture_of(images["The VAE for each beta: losses"]).shape[:2] == (540, 960)


def test_charts_can_be_hovered_over(page):
    assert set(page.charts) == {
        "Losses of the GAN",
        "Diagnostics of the GAN, latent: active units",
        "Losses of the VAE",
        "Diagnostics of the VAE, latent: active units",
        "The VAE for each beta: losses",
    }
    (trace,) = page.chart("Losses of the GAN")["data"]
    assert (trace["name"], trace["x"], trace["y"]) == ("total", [1, 2], [0.5, 0.25])
    assert [trace["name"] for trace in page.chart("The VAE for each beta: losses")["data"]] == [
        "beta 1",
        "beta 0.1",
    ]


def test_progress_is_shown_in_the_order_of_the_steps(page):
    steps = [text for text in page.images if text.startswith("Samples of the GAN, step")]
    assert [text.split()[-1] for text in steps] == ["0", "400", "1,200"]


def test_the_headline_stands_at_the_top(html, page):
    assert ["steps", "12,345", ""] in page.rows
    assert ["images/s", "220", "31"] in page.rows
    assert ["loss: total", "0.375", ""] in page.rows
    assert html.index("Not trained yet") < html.index('id="paper"')


def test_every_table_says_what_it_is(page):
    assert all(page.captions)
    assert len(page.captions) >= 14


def test_what_trained_the_models_stands_in_a_table(page):
    assert ["", "gan", "vae"] in page.rows
    assert ["machine", "A quick <GPU>", "A quick <GPU>"] in page.rows
    assert ["torch", "2.15", "2.15"] in page.rows
    assert "git commit" not in [row[0] for row in page.rows]  # none is recorded


@pytest.mark.parametrize(
    ("name", "content"),
    [("gan/history.csv", b"\x8b\x00"), ("gan/history.csv", b""), ("class_counts.csv", b"")],
)
def test_a_damaged_table_is_named(folders, name, content):
    reports, models = folders
    (reports / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}' is damaged \(.*\): delete it"):
        render_report(reports, models)


def test_a_damaged_configuration_is_named(folders):
    reports, models = folders
    (models / "gan" / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"gan/config\.json' is damaged \(.*\): delete it"):
        render_report(reports, models)


def test_tables_hold_the_numbers_with_commas_and_blanks_where_none_is(page):
    assert ["finding", "count", "paper"] in page.rows
    assert ["Mass", "1,200", "5,782"] in page.rows
    assert ["Hernia", "7", "227"] in page.rows
    assert ["gan", "generator", "3,606,976", "3,606,976", "", ""] in page.rows
    assert ["gan", "extra", "1,234", "", "1,000", "without biases"] in page.rows
    assert ["quarantined: truncated file", "1"] in page.rows


def test_counts_by_split_and_view_stand_below_their_split(page):
    assert ["", "in all", "train", "validation", "test"] in page.rows
    assert ["finding", "group", *(["all", "PA", "AP", "unknown"] * 4)] in page.rows
    train, test = ["1,100", "1,100", "0", "0"], ["100", "100", "0", "0"]
    in_all = ["1,200", "1,200", "0", "0"]
    assert ["Mass", "head", *in_all, *train, *["0"] * 4, *test] in page.rows


def test_findings_that_occur_together_stand_in_a_table(page):
    findings = [name for name in PAPER_COUNTS if name != "No Finding"]
    header = ["finding", *(name.replace("_", " ") for name in findings), "alone"]
    assert header in page.rows
    (hernia,) = (row for row in page.rows if row[0] == "Hernia" and len(row) == len(header))
    assert [hernia[header.index(name)] for name in ("Hernia", "Mass", "alone")] == ["7", "7", "0"]


def test_versions_layers_and_times_stand_in_tables(page):
    assert ["fs_v1", "1,000", "50", "yes", "yes", "vgg16", "linear", "yes"] in page.rows
    assert ["v3", "1,000", "50", "no", "yes", "vgg16", "1", "no"] in page.rows
    assert ["fs_v1", "154,500", "158,038,372"] in page.rows
    assert ["v3", "0", "67,741,391"] in page.rows
    assert ["CONVT2D 1", "1,344", "4*4*14*6"] in page.rows
    assert ["CONVT2D 2", "1,344", "4*4*14*6"] in page.rows
    assert ["Input", "", ""] in page.rows
    assert ["gan", "219.5"] in page.rows


def test_a_sweep_s_rows_of_samples_are_named_in_the_order_of_its_summary(html, page):
    assert re.findall(r"<span>(beta.*?)</span>", html) == ["beta 1", "beta 0.1"]
    assert ["member", "steps", "images per second", "loss: total"] in page.rows
    assert ["beta_1", "135", "77.29", "1,235"] in page.rows
    assert ["beta_0.1", "135", "77.31", "0.1235"] in page.rows


def test_the_versions_samples_are_named_with_the_paper_s_figure(empty):
    reports, _ = empty
    save_picture(reports / "gmvae_sweep" / "samples.png", 60)
    (reports / "gmvae_sweep" / "summary.csv").write_text("member,steps\nfs_v1,9\nv8,9\n")
    html = render_report(*empty)
    assert re.findall(r"<span>(.*?)</span><img", html) == ["fs v1 (Fig. 1)", "v8 (Fig. 3)"]
    assert '<b>Figs. 1 to 3</b> <span><a href="#figs-1-to-3">' in html


def test_the_training_is_told_in_figures(page):
    text = spoken(page)
    assert "12,345 steps on 44,625 images of cxr14 in 3,600 s: 220 images/s" in text
    assert "on A quick <GPU>" in text
    assert "bf16-mixed" in text
    assert "Image store 0123456789abcdef" in text
    assert "kedro run --pipeline=gan " not in text


def test_what_is_wrong_with_a_model_is_said_plainly(page):
    text = spoken(page)
    assert text.count("Warning:") == 2
    assert "Warning: posterior collapse: lower <beta>" in text
    assert "Warning: and another" in text
    assert "Beta 0.1, Z = 1024; images are drawn from the mixture" in text


@pytest.mark.parametrize(("fine_tune", "word"), [(False, "frozen"), (True, "fine-tuned")])
def test_a_gmvae_s_version_encoder_and_weights_are_told(empty, fine_tune, word):
    save_gmvae(*empty, fine_tune=fine_tune)
    page = Page(render_report(*empty))
    text = spoken(page)
    assert f"Version v8: encoder vgg16, {word}, weights random; decoder 2; Z = 2000" in text
    assert "Trained with the findings" not in text
    assert "Reconstructions by the GMVAE" in page.images
    assert "Samples from the prior and from the mixture" not in page.images


def test_the_findings_of_a_conditional_model_are_told(empty):
    save_gmvae(*empty, findings=["Mass", "Edema"])
    text = spoken(Page(render_report(*empty)))
    assert "Trained with the findings Mass, Edema." in text


def test_what_stands_in_files_is_shown_and_never_taken_for_html(empty):
    reports, _ = empty
    reason = "<script>alert('&')</script>"
    table = pd.DataFrame({"what": [reason], "images": [2]})
    table.to_csv(reports / "image_accounting.csv", index=False)
    html = render_report(*empty)
    assert reason not in html
    assert [reason, "2"] in Page(html).rows


def test_no_image_that_was_left_out_or_shared_is_named(folders):
    reports, _ = folders
    for name in ("quarantine", "duplicates", "label_violations"):
        (reports / f"{name}.csv").write_text("image,reason\n00000001_000.png,truncated file\n")
    # Names of images are names of patients.
    assert "00000001" not in render_report(*folders)


def test_an_empty_project_says_which_command_makes_each_part(tmp_path):
    page = Page(render_report(tmp_path / "reports", tmp_path / "models"))
    assert page.images == {}
    assert page.charts == {}
    of_data = [*["labels"] * 4, *["preprocessing"] * 2]
    after = [*["reporting"] * 4, "gan", "gan"]
    assert missing(page) == ["evaluation", *of_data, *MODELS, *SWEEPS, *after]


def test_plotly_is_not_carried_where_it_has_nothing_to_draw(empty):
    assert len(render_report(*empty)) < 100_000


def test_missing_parts_name_their_commands_and_hide_no_others(folders, page):
    reports, models = folders
    for path in (
        "class_counts_by_split_and_view.csv",
        "transformed_images.png",
        "gan/samples.png",
        "vae/history.csv",
        "vae/samplers.png",
        "vae_beta_sweep/history.csv",
        "gmvae_versions.csv",
        "layers_decoder_2.csv",
    ):
        (reports / path).unlink()
    (reports / "training_times.csv").write_text("model,images_per_second\n")  # of no model
    left = Page(render_report(reports, models))
    assert missing(left) == [
        "evaluation",
        *("labels", "labels", "preprocessing", "gan", "vae", "vae", "vae", "gmvae"),
        *("vae_beta_sweep", "gmvae_sweep", "reporting", "reporting", "gan"),
    ]
    assert [text for text in page.images if text not in left.images] == [
        "First synthetic images of the GAN",
        "Images a finding",
        "Images after resizing, cropping and equalising",
        "Synthetic images of the GAN",
        "Samples from the prior and from the mixture",
        "Losses of the VAE",
        "Diagnostics of the VAE",
        "The VAE for each beta: losses",
    ]
