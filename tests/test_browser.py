"""What a user sees in a browser: the flowchart and its previews, MLflow's runs, the report."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from tests.browser import installed_browser, served_folder
from tests.conftest import SAMPLE, Project

from cxr_pipeline.evaluation.report import render_report

PATIENTS = 12
FIRST_PATIENT = 71_430_000
"""Numbers that stand nowhere else."""

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def page_of():
    """Open a page; gives it with what its console complained of and what it asked the network."""
    path = installed_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=path, args=options)
        contexts = []

        def open_page(address, **view):
            context = browser.new_context(**view)
            contexts.append(context)
            page = context.new_page()
            page.set_default_timeout(30_000)
            page.complaints, page.requests = [], []
            page.on("console", lambda message: _note(page.complaints, message))
            page.on("pageerror", lambda error: page.complaints.append(str(error)))
            page.on("request", lambda request: page.requests.append(request.url))
            page.goto(address)
            return page

        yield open_page
        for context in contexts:
            context.close()
        browser.close()


def _note(complaints, message):
    if message.type == "error":
        complaints.append(message.text)


@pytest.fixture(scope="module")
def raw_dir(tmp_path_factory) -> Path:
    """A data set whose image names and patient numbers can be told from all other numbers."""
    folder = tmp_path_factory.mktemp("raw")
    (folder / "images").mkdir()
    table = pd.read_csv(SAMPLE / "Data_Entry_2017_v2020.csv")
    table = table.drop_duplicates("Patient ID").head(PATIENTS)
    names = [f"{FIRST_PATIENT + number}_000.png" for number in range(PATIENTS)]
    for old, new in zip(table["Image Index"], names, strict=True):
        shutil.copy(SAMPLE / "images" / old, folder / "images" / new)
    patients = [FIRST_PATIENT + number for number in range(PATIENTS)]
    table = table.assign(**{"Image Index": names, "Patient ID": patients})
    table.to_csv(folder / "Data_Entry_2017_v2020.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def project(raw_dir, tmp_path_factory) -> Project:
    """A project after `kedro run --pipeline=preprocessing`, tracked in MLflow."""
    project = Project(tmp_path_factory.mktemp("project"))
    done = project.run(f"--params=raw_dir={raw_dir}", "--pipeline=preprocessing")
    assert done.returncode == 0, done.stderr
    reports = project.folder / "data/08_reporting"
    (reports / "report.html").write_text(render_report(reports, project.folder / "data/06_models"))
    return project


@pytest.fixture(scope="module")
def site(project) -> Path:
    """The static site, as `make viz-site` builds it."""
    command = [sys.executable, "-m", "kedro", "viz", "build", "--include-previews"]
    done = subprocess.run(
        command,
        cwd=project.folder,
        env=project.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert (project.folder / "build/api/main").is_file(), said
    # What is not made yet has no preview; that is no news.
    assert "WARNING" not in said.upper(), said
    assert "could not be previewed" not in said
    return project.folder / "build"


@pytest.fixture(scope="module")
def viz(site, page_of):
    with served_folder(site) as address:
        page = page_of(address, viewport={"width": 1400, "height": 900})
        page.wait_for_selector(".pipeline-node")
        yield page


def click(page, name):
    """Click a node by the name that it has on the flowchart, through the list beside it."""
    page.get_by_placeholder("Search").fill(name)
    page.locator(".node-list-row-name, .row-text__label", has_text=name).first.click()
    page.wait_for_selector(".pipeline-metadata__title")


def test_the_flowchart_shows_the_models_folded_and_layers(viz):
    shown = viz.locator(".pipeline-node__text").all_text_contents()
    assert {"Gan", "Vae", "Gmvae"} <= set(shown)
    assert "Draw Samples" not in shown
    assert viz.locator(".pipeline-layer").count() >= 5
    assert viz.complaints == []
