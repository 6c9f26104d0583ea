"""A run that trains several models gives each a run of its own."""

import mlflow
import pytest

from cxr_pipeline import tracking
from cxr_pipeline.tracking.nested import end_models, record_for
from cxr_pipeline.tracking.sending import sender

NAMES = {"gan": "gan on sample", "vae": "vae on sample"}


@pytest.fixture
def outer(client):
    with mlflow.start_run(run_name="everything") as run:
        tracking.expect_models(NAMES)
        yield run.info.run_id
    tracking.expect_models({})


def by_name(client):
    return {run.info.run_name: run for run in client.search_runs(["0"])}


def train(model, value):
    record_for(model)
    tracking.log_parameters({"epochs": value})
    tracking.log_metrics(1, {"loss/total": value})


def test_what_a_model_says_goes_to_its_own_run_and_all_else_to_the_outer_one(client, outer):
    train("gan", 1.0)
    train("vae", 2.0)
    record_for(None)
    tracking.tag_run({"data": "sample"})
    end_models("FINISHED")
    sender.flush()
    runs = by_name(client)
    assert set(runs) == {"everything", "gan on sample", "vae on sample"}
    for model, value in (("gan", 1.0), ("vae", 2.0)):
        run = runs[NAMES[model]]
        assert run.data.metrics == {"loss/total": value}
        assert run.data.params == {"epochs": str(value)}
        assert run.data.tags["model"] == model
        assert run.data.tags["part_of"] == outer
        assert run.info.status == "FINISHED"
    assert runs["everything"].data.metrics == {}
    assert runs["everything"].data.tags["data"] == "sample"


def test_a_run_begins_only_when_its_model_does(client, outer):
    record_for("labels")
    record_for("vae")
    sender.flush()
    assert set(by_name(client)) == {"everything", "vae on sample"}


def test_a_run_that_goes_on_finds_its_models_runs_again(client, outer):
    for _ in range(2):
        train("gan", 1.0)
        notes = tracking.notes()
        assert notes["mlflow_parent"] == outer
        end_models("KILLED")
        sender.flush()
        tracking.expect_models(NAMES)
    runs = by_name(client)
    assert set(runs) == {"everything", "gan on sample"}
    assert notes["mlflow_run"] == runs["gan on sample"].info.run_id


def test_a_killed_run_takes_its_models_runs_with_it(client, outer):
    train("gan", 1.0)
    tracking.finish_run_as_killed()
    assert {run.info.status for run in by_name(client).values()} == {"KILLED"}
    assert tracking.notes() == {}


def test_without_a_run_there_are_none_within_it(client):
    tracking.expect_models(NAMES)
    record_for("gan")
    tracking.log_metrics(1, {"loss/total": 1.0})
    sender.flush()
    assert client.search_runs(["0"]) == []
    tracking.expect_models({})
