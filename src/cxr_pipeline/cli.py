"""`kedro run`, with errors that a user can act on and signals that end a run properly."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import click
from kedro.config import MissingConfigException
from kedro.framework.cli import project
from kedro.io import DatasetError
from yaml import YAMLError

from cxr_pipeline import tracking

logger = logging.getLogger(__name__)

USER_ERRORS = (
    ValueError,  # ours: each names what is wrong and what to do
    DatasetError,
    MissingConfigException,
    OSError,  # no space, no permission
    tracking.TrackingError,
    YAMLError,
)

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where the program stands, as Ctrl-C is."""


@click.group(name="cxr_pipeline")
def cli() -> None:
    """Group the project's own commands."""


@cli.command(name="run", params=project.run.params, help=project.run.help)
def run(**arguments: Any) -> None:
    """Run a pipeline as Kedro does; what a user got wrong becomes one line.

    Of several processes that `torchrun` started the first does, and the others help it to train.
    """
    if arguments["runner"] == "ParallelRunner":
        raise click.ClickException(
            "ParallelRunner would scatter a run over several MLflow runs: leave --runner out"
        )
    if arguments["pipeline"] and not arguments["pipelines"]:
        # The README's spelling, of which Kedro warns that a later release will drop it.
        arguments |= {"pipelines": [arguments["pipeline"]], "pipeline": None}
    as_kedro: Any = project.run.callback
    with ending_runs_on_signals():
        try:
            if "TORCHELASTIC_RUN_ID" in os.environ:
                from cxr_pipeline.training.followers import run_together

                run_together(partial(as_kedro, **arguments))
            else:
                as_kedro(**arguments)
        except USER_ERRORS as error:
            logger.debug("the error in full", exc_info=True)
            raise click.ClickException(root_message(error)) from error


@cli.command(name="compare")
@click.argument("runs", nargs=-1)
@click.option("--port", default=5000, show_default=True, help="Where MLflow listens.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.pass_obj
def compare(metadata: Any, runs: tuple[str, ...], port: int, no_browser: bool) -> None:
    """Open MLflow's charts of the newest finished run of each model.

    RUNS are others to compare: models (gan), ids of runs or how they begin, names of runs. MLflow's
    pages stay until Ctrl-C.
    """
    from cxr_pipeline.tracking.compare import (
        charts_url,
        comparison_url,
        runs_to_compare,
        start_server,
        stop_server,
    )

    uri = tracking.tracking_uri(metadata.project_path)
    server = None
    try:
        chosen = runs_to_compare(uri, runs)
        server = None if uri.startswith("http") else start_server(uri, port)
    except USER_ERRORS as error:
        raise click.ClickException(root_message(error)) from error
    for run in chosen:
        click.echo(f"{run.info.run_id[:8]}  {run.info.run_name}")
    pages = uri if server is None else f"http://127.0.0.1:{port}"
    charts = charts_url(pages, chosen)
    click.echo(f"Curves and samples:      {charts}")
    click.echo(f"Parameters and metrics:  {comparison_url(pages, chosen)}")
    if not no_browser:
        click.launch(charts)
    if server is not None:
        signal.signal(signal.SIGTERM, _terminate)
        with server:  # which gets Ctrl-C as well
            try:
                server.wait()
            except KeyboardInterrupt:
                stop_server(server)


@contextmanager
def ending_runs_on_signals() -> Iterator[None]:
    """End MLflow's run as KILLED on Ctrl-C (exit code 130) and SIGTERM (143)."""
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        # Whoever asks once more need not wait for MLflow.
        for number in previous:
            signal.signal(number, signal.SIG_DFL)
        tracking.finish_run_as_killed()
        terminated = isinstance(interrupt, Terminated)
        click.echo("Terminated." if terminated else "Interrupted.", err=True)
        raise SystemExit(EXIT_TERMINATED if terminated else EXIT_INTERRUPTED) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def root_message(error: BaseException) -> str:
    """The first line of what went wrong at the bottom of a chain of errors.

    Kedro wraps what a data set raises; the wrapped error is the one that names the remedy.
    """
    while isinstance(error, DatasetError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, YAMLError):
        # It knows the line; the file Kedro keeps to itself.
        return f"a file below conf/ is no plain YAML: {' '.join(str(error).split())}: mend it"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].endswith("?"):
        return " ".join(lines)  # Kedro's "Did you mean one of these instead?" and what they are
    return lines[0] if lines else repr(error)
