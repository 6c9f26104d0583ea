"""What a user sees in a browser: the flowchart and its previews, MLflow's runs, the report."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urljoin

import pytest
from tests.browser import free_port, installed_browser, served_folder, started_server
from tests.conftest import FIRST_PATIENT, REPOSITORY, Project, copy_recognisable

from cxr_pipeline.evaluation.report import render_report

PATIENTS = 12

FINDINGS = 14

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
    return copy_recognisable(tmp_path_factory.mktemp("raw"), PATIENTS)


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
    """The static site as `make viz-site` builds it, in a project that has trained nothing yet."""
    makefile, binaries = REPOSITORY / "Makefile", Path(sys.executable).parent
    # The set-up is there: its stamp counts as old.
    command = ["make", "-f", str(makefile), "-o", ".venv/installed", "-o", "install", "viz-site"]
    done = subprocess.run(
        [*command, f"BIN={binaries}"],
        cwd=project.folder,
        env=project.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    # What is not made yet is no news, nor is what libraries owe one another.
    assert "warning" not in said.lower(), said
    assert "could not be previewed" not in said, said
    return project.folder / "build"


@pytest.fixture(scope="module")
def viz(site, page_of):
    with served_folder(site) as address:
        page = page_of(address, viewport={"width": 1400, "height": 900})
        page.wait_for_selector(".pipeline-node")
        yield page
        assert asked_elsewhere(page, address) == []


def asked_elsewhere(page, *own):
    """What a page asked the network for."""
    return [url for url in page.requests if not url.startswith((*own, "blob:", "data:"))]


def click(page, name):
    """Click a node of the flowchart, also where it stands behind a panel."""
    node = page.locator(".pipeline-node", has_text=re.compile(f"^{re.escape(name)}$"))
    node.dispatch_event("click")
    page.locator(".pipeline-metadata__title", has_text=name).wait_for()


def choose(page, pipeline):
    """Choose a pipeline, with all boxes unfolded."""
    page.goto(urljoin(page.url, f"?pid={pipeline}&expandAllPipelines=true"))


def test_the_flowchart_shows_layers_and_each_pipeline_as_one_box(viz):
    shown = set(viz.locator(".pipeline-node").all_text_contents())
    assert {"labels", "preprocessing", "gan", "vae", "gmvae", "reporting"} <= shown
    assert {"classifier", "evaluation", "memorisation", "utility"} <= shown
    assert not shown & {"train", "draw_samples", "read_labels"}
    layers = viz.locator(".pipeline-layer-name").all_text_contents()
    assert layers == ["intermediate", "model_input", "models", "model_output", "reporting"]


def test_a_table_shows_in_place(viz):
    click(viz, "class_counts")
    table = viz.locator(".pipeline-metadata__preview table")
    assert "No Finding" in table.inner_text()
    viz.get_by_text("Expand preview").click()
    assert viz.locator(".pipeline-metadata-modal__preview tr").count() > FINDINGS
    viz.get_by_role("button", name="Back", exact=True).click()


@pytest.mark.parametrize("name", ["transformed_images", "images", "class_counts_chart"])
def test_images_and_charts_show_in_place(viz, name):
    click(viz, name)
    image = viz.locator(".pipeline-metadata__plot-image")
    image.wait_for()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 200


def test_what_is_not_made_yet_shows_the_command_that_makes_it(viz):
    click(viz, "gan.samples")
    command = "kedro run --to-outputs=gan.samples"
    viz.locator(".pipeline-metadata").get_by_text(command).wait_for()
    assert viz.get_by_text("Expand preview").count() == 0


def test_the_networks_show_where_they_are_trained(viz):
    choose(viz, "gan")
    click(viz, "train")
    diagram = viz.locator(".pipeline-mermaid-renderer svg")
    diagram.wait_for()
    assert "Generator: 3,606,976 parameters" in diagram.text_content()


def test_a_node_says_what_it_does(viz):
    choose(viz, "labels")
    click(viz, "count_classes")
    shown = viz.locator(".pipeline-text-renderer").inner_text()
    assert "Count the images of each finding." in shown


def test_the_site_names_no_image_and_no_patient(site, raw_dir):
    names = [path.stem for path in (raw_dir / "images").iterdir()]
    patients = [str(FIRST_PATIENT + number) for number in range(PATIENTS)]
    assert len(names) == len(patients) == PATIENTS
    for path in site.rglob("*"):
        if path.is_file():
            content = path.read_text(errors="replace")
            assert [name for name in (*names, *patients) if name in content] == [], path


def test_mlflow_lists_the_run(project, page_of, tmp_path):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", project.database]
    with started_server(command, address, tmp_path / "mlflow.log", cwd=tmp_path):
        page = page_of(f"{address}/#/experiments/1/runs", viewport={"width": 1400, "height": 900})
        page.get_by_text("preprocessing", exact=False).first.wait_for()


@pytest.fixture
def report(project) -> str:
    return (project.folder / "data/08_reporting/report.html").as_uri()


def test_the_report_reads_without_a_network(report, page_of):
    page = page_of(report)
    assert page.locator("h1").count() == 1
    assert page.locator("h2").count() >= 3
    assert page.complaints == []
    assert asked_elsewhere(page, "file:") == []


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_report_fits_a_phone(report, page_of, colours):
    page = page_of(report, viewport=PHONE, color_scheme=colours)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]
