"""`kedro run --pipeline=preprocessing`: which images, what is done to them, who does it."""

import re

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster
from tests.conftest import FEW_IMAGES, read_picture
from tests.data.stores import contents

from cxr_pipeline.data.sheets import GAP
from cxr_pipeline.data.store import open_store

REPORTING = "data/08_reporting"


@pytest.fixture
def preprocess(project, raw_dir):
    """Run preprocessing with some settings; return what it said and the store."""

    def run(*settings):
        named = [f"preprocessing.{setting}" for setting in settings]
        parameters = ",".join([f"raw_dir={raw_dir}", "preprocessing.max_quarantined=0.1", *named])
        result = project.run("--pipeline=preprocessing", f"--params={parameters}")
        assert result.returncode == 0, result.stderr
        folders = (project.folder / "data/02_intermediate/images").iterdir()
        newest = max(folders, key=lambda folder: (folder / "manifest.json").stat().st_mtime_ns)
        return result.stdout + result.stderr, open_store(newest)

    return run


def accounting(project):
    return dict(
        pd.read_csv(project.folder / REPORTING / "image_accounting.csv").itertuples(index=False)
    )


def test_a_view_is_chosen_tiles_are_equalised_and_pairs_are_shown(project, raw_dir, preprocess):
    _, store = preprocess("selection.views=PA", "equalise=clahe", "clahe_tiles=4", "sheet=pairs")
    labels = pd.read_csv(raw_dir / "Data_Entry_2017_v2020.csv")
    of_view = labels.loc[labels["View Position"] == "PA", "Image Index"]
    assert 0 < len(of_view) < FEW_IMAGES
    assert store.index["image"].tolist() == of_view.tolist()
    clahe = {"clip_limit": 2.0, "tiles": 4}
    assert store.manifest["parameters"]["equalise"] == {"clahe": clahe}
    counts = accounting(project)
    assert counts["rows of the labels"] == FEW_IMAGES
    assert counts["not selected"] == FEW_IMAGES - len(of_view)
    # Eight columns: four images, each before and after.
    sheet = read_picture(project.folder / REPORTING / "transformed_images.png")
    rows = -(-min(len(of_view), 32) // 4)
    assert sheet.shape == (rows * (128 + GAP) - GAP, 8 * (128 + GAP) - GAP)
    first = store.read(np.array([0]))[0]
    assert np.array_equal(sheet[:128, 128 + GAP : 2 * 128 + GAP], first)
    assert not np.array_equal(sheet[:128, :128], first)


def test_every_image_is_accounted_for_in_each_run(project, raw_dir, preprocess):
    names = sorted(path.name for path in (raw_dir / "images").iterdir())
    paths = [raw_dir / "images" / name for name in names]
    outside = paths[0].rename(raw_dir.parent / "outside.png")
    paths[0].symlink_to(outside)
    paths[1].write_bytes(paths[1].read_bytes()[:500])
    paths[2].write_bytes(paths[3].read_bytes())
    (raw_dir / "images" / "stray.png").write_bytes(paths[3].read_bytes())
    labels = pd.read_csv(raw_dir / "Data_Entry_2017_v2020.csv")
    labels.loc[labels["Image Index"] == names[2], "Patient ID"] = 99999
    labels.to_csv(raw_dir / "Data_Entry_2017_v2020.csv", index=False)
    expected = {
        "rows of the labels": FEW_IMAGES,
        "not selected": 0,
        "listed for the store": FEW_IMAGES,
        "kept": FEW_IMAGES - 2,
        "quarantined": 2,
        "quarantined: link out of the folder": 1,
        "quarantined: truncated file": 1,
        "kept, the same picture in several patients": 2,
        "files that no row names": 1,
    }
    for said_of_the_store in (f"{FEW_IMAGES - 2} images kept", "is up to date"):
        said, store = preprocess()
        assert said_of_the_store in said
        assert "2 images quarantined" in said
        assert f"{names[2]} = {names[3]}" in said
        assert accounting(project) == expected
        duplicates = pd.read_csv(project.folder / REPORTING / "duplicates.csv")
        assert set(duplicates["image"]) == {names[2], names[3]}
        quarantine = pd.read_csv(project.folder / REPORTING / "quarantine.csv")
        assert dict(quarantine.itertuples(index=False)) == {
            names[0]: "link out of the folder",
            names[1]: "truncated file",
        }
        assert len(store) == FEW_IMAGES - 2


def test_a_dask_cluster_named_on_the_command_line_builds_the_same_bytes(project, preprocess):
    _, here = preprocess("shard_size=4")
    before = contents(here.folder)
    for path in here.folder.iterdir():
        path.unlink()
    with LocalCluster(
        n_workers=2, processes=True, threads_per_worker=1, dashboard_address=":0"
    ) as cluster:
        address = cluster.scheduler_address
        said, there = preprocess("shard_size=4", f"dask_scheduler={address}")
    assert re.search(r"12 of 12 shards made", said)
    assert "distributed" not in said
    assert there.folder == here.folder
    assert contents(there.folder) == before
