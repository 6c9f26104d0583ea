"""Building the image store: in parallel, resumable, every image accounted for."""

import io
import logging
import os
import time
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_pipeline import __version__
from cxr_pipeline.data.files import (
    file_digest,
    json_digest,
    make_folder,
    remove_litter,
    write_bytes,
    write_json,
)
from cxr_pipeline.data.locks import lock
from cxr_pipeline.data.plan import StorePlan
from cxr_pipeline.data.shards import LINK, ShardJob, build_shard, may_be_mended
from cxr_pipeline.data.store import (
    DUPLICATES,
    DUPLICATES_COLUMNS,
    INDEX,
    MANIFEST,
    QUARANTINE,
    QUARANTINE_COLUMNS,
    ImageStore,
    open_store,
)
from cxr_pipeline.data.workers import workers

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_REPORTS = 10.0
NAMES_SHOWN = 3


def build_store(plan: StorePlan, root: Path) -> ImageStore:
    """Build the planned store under `root`, or open it if it is there already.

    Args:
        plan: What to build.
        root: The folder that holds all versions; the store becomes `root/<version>`.

    Raises:
        ValueError: If no image is usable, more are quarantined than the plan allows, or the Dask
            scheduler cannot be reached.
    """
    folder = root / plan.version()
    store = None if plan.verify else _finished(folder)
    if store:
        return _reuse(store, plan)
    make_folder(folder)
    with lock(folder, f"the image store '{folder}'", wait=True):
        # Who had the lock may have built it meanwhile.
        store = None if plan.verify else _finished(folder)
        return _reuse(store, plan) if store else _build(plan, folder)


def _build(plan: StorePlan, folder: Path) -> ImageStore:
    """Make what is not there yet; the folder is this process's alone."""
    started = time.time()
    finished = (folder / MANIFEST).is_file()
    jobs = plan.jobs(folder)
    records = _run(jobs, plan)
    made = [record["file"] for record in records if record["made"]]
    if finished and made:
        logger.warning(
            "%d of %d shards were damaged, or their images had changed, and are made anew: %s",
            len(made),
            len(jobs),
            _some(made, ", "),
        )
    remove_litter(folder)
    store = _finish(plan, folder, records)
    logger.info(
        "Image store %s: %d images kept, %d quarantined; %d of %d shards made, %.1f s",
        store.version,
        len(store),
        store.manifest["quarantined"],
        len(made),
        len(jobs),
        time.time() - started,
    )
    return store


def _finished(folder: Path) -> ImageStore | None:
    """The store that is there already, if it is whole and another try would not make it better."""
    if not (folder / MANIFEST).is_file():
        return None
    try:
        store = open_store(folder)
        quarantine, _ = store.quarantine(), store.duplicates()
    except (OSError, ValueError) as error:
        logger.warning("%s", error)
        return None
    return None if may_be_mended(quarantine["reason"]) else store


def _reuse(store: ImageStore, plan: StorePlan) -> ImageStore:
    _judge_quarantine(store.quarantine(), plan, store.folder)
    _warn_of_duplicates(store.duplicates(), store.folder)
    manifest = store.manifest | plan.particulars
    if manifest != store.manifest:
        write_json(store.folder / MANIFEST, manifest)
    # The manifest's time tells which store was used last.
    os.utime(store.folder / MANIFEST)
    logger.info("Image store %s is up to date: %d images, reused", store.version, len(store))
    return replace(store, manifest=manifest)


def _run(jobs: list[ShardJob], plan: StorePlan) -> list[dict[str, Any]]:
    """Have all shards made, saying now and then how far the build is."""
    started = time.monotonic()
    with workers(plan.workers, plan.dask_scheduler) as pool:
        futures = [pool.submit(build_shard, job) for job in jobs]
        try:
            return [_result(future, futures, plan, started) for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _result(
    future: "Future[dict[str, Any]]",
    futures: "list[Future[dict[str, Any]]]",
    plan: StorePlan,
    started: float,
) -> dict[str, Any]:
    # Not `result(timeout=...)`: a shard may itself fail with a TimeoutError, of a network disk.
    while not wait([future], timeout=SECONDS_BETWEEN_REPORTS).done:
        done = sum(each.done() for each in futures)
        images = min(done * plan.shard_size, len(plan.table))
        rate = images / (time.monotonic() - started)
        logger.info("Preprocessing: %d of %d images, %.0f a second", images, len(plan.table), rate)
    return future.result()


def _finish(plan: StorePlan, folder: Path, records: list[dict[str, Any]]) -> ImageStore:
    """Write quarantine, duplicates, index and, last, the manifest that makes the folder a store."""
    quarantine = pd.DataFrame(
        [entry for record in records for entry in record["quarantine"]], columns=QUARANTINE_COLUMNS
    )
    _write_csv(folder / QUARANTINE, quarantine)
    _judge_quarantine(quarantine, plan, folder)

    index = _index(plan.table, records)
    buffer = io.BytesIO()
    index.drop(columns="picture").to_parquet(buffer, index=False)
    write_bytes(folder / INDEX, buffer.getvalue())
    duplicates = _duplicates(index)
    _write_csv(folder / DUPLICATES, duplicates)
    _warn_of_duplicates(duplicates, folder)

    shards = [{key: record[key] for key in ("file", "bytes", "sha256")} for record in records]
    content = index.drop(columns="picture").to_csv(index=False)
    manifest = {
        "version": folder.name,
        "digest": json_digest([[s["sha256"] for s in shards], content]),
        "classes": plan.classes,
        "parameters": plan.parameters,
        "code_version": __version__,
        "listed": len(plan.table),
        "kept": len(index),
        "quarantined": len(quarantine),
        "duplicates": len(duplicates),
        **plan.particulars,
        "shards": shards,
        "index_sha256": file_digest(folder / INDEX),
    }
    write_json(folder / MANIFEST, manifest)
    return open_store(folder)


def _index(table: pd.DataFrame, records: list[dict[str, Any]]) -> pd.DataFrame:
    places = pd.DataFrame(
        [
            (image, shard, row, record["pictures"][row])
            for shard, record in enumerate(records)
            for row, image in enumerate(record["images"])
        ],
        columns=["image", "shard", "row", "picture"],
    )
    return table.merge(places, on="image", validate="one_to_one")


def _duplicates(index: pd.DataFrame) -> pd.DataFrame:
    """The images whose stored pixels another patient has too; `picture` numbers the pixels."""
    patients = index.groupby("picture")["patient"].transform("nunique")
    several = index[patients > 1]
    numbers = pd.factorize(several["picture"])[0] + 1
    return (
        several[["image", "patient", "split"]]
        .assign(picture=numbers)
        .sort_values(["picture", "image"])[DUPLICATES_COLUMNS]
    )


def _warn_of_duplicates(duplicates: pd.DataFrame, folder: Path) -> None:
    groups = [
        _some([*images], " = ") for _, images in duplicates.groupby("picture", sort=False)["image"]
    ]
    if groups:
        logger.warning(
            "%d pictures are the same in several patients: %s: see '%s'",
            len(groups),
            _some(groups, "; "),
            folder / DUPLICATES,
        )


def _some(names: list[str], separator: str) -> str:
    """The first few, and how many more there are."""
    rest = len(names) - NAMES_SHOWN
    return separator.join([*names[:NAMES_SHOWN], *([f"{rest} more"] if rest > 0 else [])])


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_bytes(path, table.to_csv(index=False).encode())


def _judge_quarantine(quarantine: pd.DataFrame, plan: StorePlan, folder: Path) -> None:
    """Refuse a store that would lack too many of its images."""
    if quarantine.empty:
        return
    counts = quarantine["reason"].value_counts()
    reasons = _some([f"{count} {reason}" for reason, count in counts.items()], ", ")
    if LINK in set(quarantine["reason"]):
        reasons += "; preprocessing.follow_links=true would follow the links"
    share = len(quarantine) / len(plan.table)
    where = folder / QUARANTINE
    if len(quarantine) == len(plan.table):
        raise ValueError(
            f"none of the {len(plan.table)} images is usable ({reasons}): see '{where}'"
        )
    if share > plan.max_quarantined:
        raise ValueError(
            f"{len(quarantine)} of {len(plan.table)} images ({share:.1%}) are unusable "
            f"({reasons}), more than preprocessing.max_quarantined={plan.max_quarantined:g} "
            f"allows: mend them (listed in '{where}') or raise that share"
        )
    logger.warning("%d images quarantined (%s): see '%s'", len(quarantine), reasons, where)
