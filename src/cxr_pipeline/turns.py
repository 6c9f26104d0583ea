"""Several runs in one checkout: they train side by side, and take turns at all the rest.

A model's folder belongs to one run from its beginning to its end; a second one that would train the
model is refused. What runs share (labels, image stores, reports) is written by one at a time: the
others wait. While a run trains, computes features or downloads, the others have their turn; what
they changed of the run's own tables and pictures it puts back when it goes on, so that its report
shows what it was trained on.
"""

import logging
from collections.abc import Generator, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from cxr_pipeline.data.files import remove_litter, write_bytes
from cxr_pipeline.data.locks import lock

logger = logging.getLogger(__name__)

LOCK = ".lock"

TRAINING_NODES = ("train", "train_each_beta", "train_each_version", "train_each_arm")
LONG_NODES = (*TRAINING_NODES, "download_data", "measure_fidelity", "audit")
LONG_SAVES = ".features"
"""How the names of data sets end that are computed as they are saved."""


class TurnHooks:
    """Gives each run its turn."""

    def __init__(self) -> None:
        self._models = ExitStack()
        self._held: set[Path] = set()
        self._turn = ExitStack()
        self._made: set[Path] = set()
        self._kept: dict[Path, bytes] = {}

    @hook_impl(wrapper=True)
    def after_context_created(self, context: KedroContext) -> Generator[None, Any, Any]:
        """Let one process at a time make MLflow's database and experiment."""
        with lock(Path(context.project_path), "MLflow's database", wait=True):
            return (yield)

    # Around all the others: the preflight reads checkpoints, which a run under way replaces.
    @hook_impl(specname="before_pipeline_run", wrapper=True)
    def keep_while_checked(
        self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> Generator[None, Any, Any]:
        """Refuse models that another run trains; a run that is refused itself lets go of all."""
        # A run that was interrupted in a notebook ends here: Kedro tells no hook of that.
        self._end()
        try:
            # A refused run shall make no folders, and where no lock is, nobody trains.
            self._take_models(p for p in trained_folders(pipeline, catalog) if (p / LOCK).exists())
            return (yield)
        except BaseException:
            self._end()
            raise

    # After the preflight, which is registered later, and before kedro-mlflow begins its run.
    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Refuse models that another run has begun to train; wait for the rest."""
        self._catalog = catalog
        self._path = Path(run_params["project_path"]) / "data" / LOCK
        # Threads run nodes side by side: there is no moment at which none writes.
        self._yields = "ThreadRunner" not in run_params["runner"]
        folders = trained_folders(pipeline, catalog)
        self._take_models(folders)
        for folder in folders:
            remove_litter(folder)
        self._take()

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Let the others have their turn."""
        if node.short_name in LONG_NODES:
            self._give()

    @hook_impl(tryfirst=True)
    def after_node_run(self, node: Node) -> None:
        """Wait for one's own turn to write what was made."""
        if node.short_name in LONG_NODES:
            self._take_again()

    @hook_impl
    def before_dataset_saved(self, dataset_name: str) -> None:
        """Let the others have their turn while features are computed."""
        if dataset_name.endswith(LONG_SAVES):
            self._give()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Wait for one's own turn, and remember what is shared."""
        if dataset_name.endswith(LONG_SAVES):
            self._take_again()
        path = getattr(self._catalog.get(dataset_name), "_filepath", None)
        # What has a namespace is the model's own.
        if path is not None and "." not in dataset_name:
            self._made.add(Path(str(path)))

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Let the others go on."""
        self._end()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Let the others go on."""
        self._end()

    def _take_models(self, folders: Iterable[Path]) -> None:
        for folder in folders:
            if folder not in self._held:
                what = f"the model in '{folder}'"
                self._models.enter_context(lock(folder / LOCK, what, wait=False))
                self._held.add(folder)

    def _take(self) -> None:
        self._turn.enter_context(lock(self._path, "this checkout's data", wait=True))

    def _give(self) -> None:
        if self._yields:
            self._kept = {path: path.read_bytes() for path in self._made if path.is_file()}
            self._turn.close()

    def _take_again(self) -> None:
        if self._yields:
            self._take()
            put_back(self._kept)

    def _end(self) -> None:
        self._made, self._kept, self._held = set(), {}, set()
        self._turn.close()
        self._models.close()


def trained_folders(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> list[Path]:
    """List the folders of the models, or sweeps, that a run trains."""
    # Not loaded: that would make the folder.
    root = Path(catalog["models"]._filepath)
    trained = [node for node in pipeline.nodes if node.short_name in TRAINING_NODES]
    return sorted(root / str(node.namespace) for node in trained)


def put_back(files: dict[Path, bytes]) -> None:
    """Restore files that another run has changed."""
    changed = [p for p, content in files.items() if not p.is_file() or p.read_bytes() != content]
    for path in changed:
        write_bytes(path, files[path])
    if changed:
        logger.info("Put back %d files of this run that another has changed", len(changed))
