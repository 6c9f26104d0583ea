import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.pictures import encoded, noise
from tests.data.stores import REASONS, damage

from cxr_pipeline.data.accounting import account_for_images
from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.data.selection import Selection


@pytest.fixture(scope="module")
def account(plan):
    """Count what became of the images of a raw folder."""

    def count(raw, **changes):
        store = build_store(plan(raw, max_quarantined=1, **changes), raw.parent / "stores")
        table = account_for_images(store)
        assert list(table.columns) == ["what", "images"]
        assert table["what"].is_unique
        return dict(table.itertuples(index=False))

    return count


def test_every_row_and_every_file_is_counted(raw, account):
    names = sorted(path.name for path in (raw / "images").iterdir())
    damage(raw / "images" / names[0], "missing file")
    damage(raw / "images" / names[2], "empty file")
    damage(raw / "images" / names[4], "empty file")
    same = (raw / "images" / names[6]).read_bytes()
    (raw / "images" / names[8]).write_bytes(same)
    (raw / "images" / "stray.png").write_bytes(same)
    selection = Selection(findings=("No Finding", "Cardiomegaly"))
    assert account(raw, selection=selection) == {
        "rows of the labels": 12,
        "not selected": 6,
        "listed for the store": 6,
        "kept": 3,
        "quarantined": 3,
        "quarantined: empty file": 2,
        "quarantined: missing file": 1,
        "kept, the same picture in several patients": 2,
        "files that no row names": 1,
    }


@settings(deadline=None, derandomize=True, max_examples=15)
@given(
    damaged=st.dictionaries(st.integers(0, 11), st.sampled_from(REASONS), max_size=8),
    findings=st.sets(st.sampled_from(["No Finding", "Mass", "Cardiomegaly"]), min_size=2),
    strays=st.integers(0, 3),
)
def test_the_counts_add_up(make_data_set, account, damaged, findings, strays):
    with tempfile.TemporaryDirectory() as folder:
        raw = make_data_set(Path(folder) / "raw")
        names = read_labels(raw)["image"].tolist()
        # Where nothing usable is left, the build stops: the first three stay as they are.
        for number, kind in damaged.items():
            if number > 2:
                damage(raw / "images" / names[number], kind)
        for number in range(strays):
            (raw / "images" / f"stray{number}.jpg").write_bytes(encoded(noise(9, 9), "jpeg"))
        counts = account(raw, selection=Selection(findings=tuple(findings)))
        files = len(list((raw / "images").iterdir()))
    reasons = {what: count for what, count in counts.items() if what.startswith("quarantined: ")}
    assert counts["rows of the labels"] == 12
    assert counts["rows of the labels"] == counts["not selected"] + counts["listed for the store"]
    assert counts["listed for the store"] == counts["kept"] + counts["quarantined"]
    assert counts["quarantined"] == sum(reasons.values())
    assert counts["files that no row names"] == strays
    missing = sum(kind == "missing file" for number, kind in damaged.items() if number > 2)
    assert files == 12 - missing + strays


def test_the_counts_are_whole_numbers_though_nothing_was_left_out(raw, plan):
    table = account_for_images(build_store(plan(raw), raw.parent / "stores"))
    assert pd.api.types.is_integer_dtype(table["images"])
    assert dict(table.itertuples(index=False))["quarantined"] == 0
