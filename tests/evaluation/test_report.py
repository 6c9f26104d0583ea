import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr_pipeline.data.class_counts import (
    count_classes,
    count_classes_by_split_and_view,
    count_cooccurrence,
)
from cxr_pipeline.data.findings import PAPER_COUNTS
from cxr_pipeline.evaluation.report import MODELS, render_report

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """What a reader finds on the page."""

    def __init__(self, html):
        super().__init__()
        self.open, self.images, self.rows, self.addresses, self.text = [], {}, [], [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images[attrs["alt"]] = attrs["src"]
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        self.addresses += [attrs[name] for name in ("src", "href") if name in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in {"td", "th"}:
            self.rows[-1][-1] += data


def picture_of(address):
    kind, data = address.split(",", 1)
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def save_picture(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8), level, dtype=np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    """What a run of the GAN leaves behind."""
    reports, models = tmp_path / "reports", tmp_path / "models"
    (reports / "gan").mkdir(parents=True)
    (models / "gan").mkdir(parents=True)
    labels = pd.DataFrame({name: [name == "Mass"] * 1200 for name in PAPER_COUNTS})
    labels.loc[:6, "Hernia"] = True
    labels = labels.assign(view="PA", split="train")
    labels.loc[1100:, "split"] = "test"
    count_classes(labels).to_csv(reports / "class_counts.csv", index=False)
    by_split_and_view = count_classes_by_split_and_view(labels)
    by_split_and_view.to_csv(reports / "class_counts_by_split_and_view.csv", index=False)
    count_cooccurrence(labels).to_csv(reports / "cooccurrence.csv", index=False)
    (reports / "image_accounting.csv").write_text(
        "what,images\nlisted for the store,1200\nquarantined: truncated file,1\n"
    )
    (reports / "parameter_counts.csv").write_text(
        "model,component,parameters,paper\ngan,generator,3606976,3606976\ngan,extra,1234,\n"
    )
    (reports / "gan" / "history.csv").write_text(
        "step,metric,value\n1,loss/generator,0.5\n2,loss/generator,0.25\n"
    )
    save_picture(reports / "transformed_images.png", 10)
    save_picture(reports / "gan" / "samples.png", 20)
    for step, level in ((0, 30), (400, 40), (1200, 50)):
        save_picture(reports / "gan" / "progress" / f"step_{step:08d}.png", level)
    config = {
        "steps": 12_345,
        "training_images": 44_625,
        "data": "cxr14",
        "seconds": 3600.4,
        "images_per_second": 219.5,
        "environment": {"device": "A quick <GPU>", "precision": "bf16-mixed"},
        "image_store": "0123456789abcdef",
    }
    (models / "gan" / "config.json").write_text(json.dumps(config))
    return reports, models


def test_the_page_needs_no_other_file_and_no_network(folders):
    html = render_report(*folders)
    page = Page(html)
    assert len(page.addresses) == 8
    assert all(address.startswith("data:") for address in page.addresses)
    assert not re.search(r"https?://|@import|url\(|<script|<link", html)


def test_pictures_are_carried_unchanged(folders):
    images = Page(render_report(*folders)).images
    levels = {
        "Images after resizing, cropping and equalising": 10,
        "Synthetic images": 20,
        "Samples at step 0": 30,
        "Samples at step 400": 40,
        "Samples at step 1200": 50,
    }
    for text, level in levels.items():
        picture = picture_of(images[text])
        assert picture.shape == (6, 8)
        assert (picture == level).all()


def test_charts_of_counts_and_losses_are_drawn(folders):
    images = Page(render_report(*folders)).images
    assert picture_of(images["Images a finding"]).shape[1] == 11.5 * 120
    assert "Images that have two findings" in images
    assert picture_of(images["Losses over the steps"]).shape[:2] == (540, 960)


def test_progress_is_shown_in_the_order_of_the_steps(folders):
    images = Page(render_report(*folders)).images
    steps = [text for text in images if text.startswith("Samples at step")]
    assert steps == ["Samples at step 0", "Samples at step 400", "Samples at step 1200"]


def test_tables_hold_the_numbers_with_commas_and_blanks_where_none_is(folders):
    rows = Page(render_report(*folders)).rows
    assert ["finding", "count", "paper"] in rows
    assert ["Mass", "1,200", "5,782"] in rows
    assert ["Hernia", "7", "227"] in rows
    assert ["gan", "generator", "3,606,976", "3,606,976"] in rows
    assert ["gan", "extra", "1,234", ""] in rows
    assert ["quarantined: truncated file", "1"] in rows


def test_counts_by_split_and_view_stand_below_their_split(folders):
    rows = Page(render_report(*folders)).rows
    assert ["", "in all", "train", "validation", "test"] in rows
    assert ["finding", "group", *(["all", "PA", "AP", "unknown"] * 4)] in rows
    train, test = ["1,100", "1,100", "0", "0"], ["100", "100", "0", "0"]
    in_all = ["1,200", "1,200", "0", "0"]
    assert ["Mass", "head", *in_all, *train, *["0"] * 4, *test] in rows


def test_findings_that_occur_together_stand_in_a_table(folders):
    rows = Page(render_report(*folders)).rows
    findings = [name for name in PAPER_COUNTS if name != "No Finding"]
    header = ["finding", *(name.replace("_", " ") for name in findings), "alone"]
    assert header in rows
    (hernia,) = (row for row in rows if row[0] == "Hernia" and len(row) == len(header))
    assert [hernia[header.index(name)] for name in ("Hernia", "Mass", "alone")] == ["7", "7", "0"]


def test_the_training_is_told_in_figures(folders):
    text = " ".join(Page(render_report(*folders)).text.split())
    assert "12,345 steps on 44,625 images of cxr14 in 3,600 s: 220 images/s" in text
    assert "on A quick <GPU>" in text
    assert "bf16-mixed" in text
    assert "Image store 0123456789abcdef" in text
    assert "kedro run --pipeline=gan" not in text


def test_what_stands_in_files_is_shown_and_never_taken_for_html(folders):
    reports, _ = folders
    reason = "<script>alert('&')</script>"
    table = pd.DataFrame({"what": [reason], "images": [2]})
    table.to_csv(reports / "image_accounting.csv", index=False)
    html = render_report(*folders)
    assert "<script>" not in html
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
    assert page.rows == []
    commands = re.findall(r"Not made yet: (kedro run --pipeline=\w+)", page.text)
    assert commands == [
        f"kedro run --pipeline={name}"
        for name in (*["labels"] * 4, *["preprocessing"] * 2, "reporting", *MODELS)
    ]


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("class_counts.csv", "labels"),
        ("class_counts_by_split_and_view.csv", "labels"),
        ("cooccurrence.csv", "labels"),
        ("transformed_images.png", "preprocessing"),
        ("parameter_counts.csv", "reporting"),
        ("gan/samples.png", "gan"),
        ("gan/history.csv", "gan"),
    ],
)
def test_one_missing_part_names_its_command_and_hides_no_other(folders, path, command):
    reports, models = folders
    whole = set(Page(render_report(reports, models)).images)
    (reports / path).unlink()
    page = Page(render_report(reports, models))
    named = set(re.findall(r"Not made yet: kedro run --pipeline=(\w+)", page.text))
    assert named - {model for model in MODELS if model != "gan"} == {command}
    assert len(whole - set(page.images)) == (0 if path.startswith("parameter") else 1)
