import json
import socket
from urllib.parse import parse_qs, urlparse
from urllib.request import urlopen

import mlflow
import pytest

from cxr_pipeline.tracking.compare import (
    EXPERIMENT,
    charts_url,
    comparison_url,
    runs_to_compare,
    start_server,
)


@pytest.fixture
def add(client):
    """Record a run of a model, each later than the one before."""
    experiment = client.create_experiment(EXPERIMENT)
    clock = iter(range(1_750_000_000_000, 1_760_000_000_000, 1000))

    def make(model, status="FINISHED", name=None):
        tags = {"model": model}
        made = client.create_run(experiment, start_time=next(clock), tags=tags, run_name=name)
        client.set_terminated(made.info.run_id, status)
        return made.info.run_id

    return make


def ids(asked=()):
    return [run.info.run_id for run in runs_to_compare(mlflow.get_tracking_uri(), asked)]


def test_the_newest_finished_run_of_each_model_is_compared(add):
    add("gan")
    gan, vae = add("gan"), add("vae")
    add("vae", status="FAILED")
    assert ids() == [gan, vae]


def test_runs_are_asked_for_by_model_id_or_name(add):
    first, second = add("vae", name="vae on sample"), add("vae")
    assert ids(["vae", first[:12], "vae on sample"]) == [second, first, first]


def test_too_few_models_say_what_to_train(client, one_line_error):
    message = one_line_error(ids)
    assert "holds finished runs of 0 models, too few to compare: train another" in message


def test_a_run_that_is_not_there_is_named(add, one_line_error):
    add("gan")
    message = one_line_error(ids, ["diffusion"])
    assert message == "no run 'diffusion' to compare: give gan, vae, gmvae, or a run's id or name"


def test_the_address_names_runs_and_experiments(add):
    gan, vae = add("gan"), add("vae")
    runs = runs_to_compare(mlflow.get_tracking_uri())
    address = comparison_url("http://localhost:5000/", runs)
    page, _, asked = urlparse(address).fragment.partition("?")
    assert page == "/compare-runs"
    fields = parse_qs(asked)
    assert fields.pop("workflowType") == ["machine_learning"]
    query = {key: json.loads(value) for key, (value,) in fields.items()}
    assert query == {"runs": [gan, vae], "experiments": [runs[0].info.experiment_id]}


def test_the_charts_are_those_of_the_runs_alone(add):
    add("gan")
    gan, vae = add("gan"), add("vae")
    runs = runs_to_compare(mlflow.get_tracking_uri())
    page, _, asked = urlparse(charts_url("http://localhost:5000", runs)).fragment.partition("?")
    assert page == f"/experiments/{runs[0].info.experiment_id}/runs"
    query = {key: value for key, (value,) in parse_qs(asked).items()}
    assert query["compareRunsMode"] == "CHART"
    assert query["workflowType"] == "machine_learning"
    client = mlflow.MlflowClient()
    found = client.search_runs([runs[0].info.experiment_id], query["searchFilter"])
    assert {run.info.run_id for run in found} == {gan, vae}


def test_a_port_that_is_taken_is_refused(one_line_error):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = one_line_error(start_server, "sqlite:///tracking.db", port)
    assert message == f"port {port} is taken: give another with --port, such as {port + 1}"


@pytest.mark.slow
def test_mlflow_s_pages_are_there_once_the_server_is(add):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start_server(mlflow.get_tracking_uri(), port)
    try:
        with urlopen(f"http://127.0.0.1:{port}/") as page:
            assert b"MLflow" in page.read()
    finally:
        server.terminate()
        server.wait()
