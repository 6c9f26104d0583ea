import csv
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.class_counts import (
    HEAD_ABOVE,
    TAIL_BELOW,
    VIEWS,
    count_classes,
    count_classes_by_split_and_view,
    count_cooccurrence,
    group_of,
)
from cxr_pipeline.data.findings import CLASSES, CXR_LT_FINDINGS, FINDINGS, NO_FINDING, PAPER_COUNTS
from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.data.splits import SPLITS, split_by_patient

NIH_CLASSES = [name for name in PAPER_COUNTS if name not in CXR_LT_FINDINGS]
SPLIT_COLUMNS = [
    *("finding", "group"),
    *("total", "PA", "AP", "unknown"),
    *("train", "train_PA", "train_AP", "train_unknown"),
    *("validation", "validation_PA", "validation_AP", "validation_unknown"),
    *("test", "test_PA", "test_AP", "test_unknown"),
]


def counts_of(folder):
    return count_classes(read_labels(folder)).set_index("finding")["count"].to_dict()


def label_table(rows, classes=CLASSES):
    """A label table of (findings, split, view), one an image."""
    flags = [[name in findings for name in classes] for findings, _, _ in rows]
    table = pd.DataFrame(np.array(flags, dtype=bool).reshape(-1, len(classes)), columns=classes)
    return table.assign(
        image=[f"{number}.png" for number in range(len(rows))],
        split=pd.Series([split for _, split, _ in rows], dtype=str),
        view=pd.Series([view for _, _, view in rows], dtype=str),
    )


@st.composite
def label_tables(draw):
    findings = draw(st.sampled_from([FINDINGS, (*FINDINGS, *CXR_LT_FINDINGS)]))
    present = st.one_of(st.just({NO_FINDING}), st.sets(st.sampled_from(findings), max_size=4))
    views = st.sampled_from(["PA", "AP", None])
    rows = draw(st.lists(st.tuples(present, st.sampled_from(SPLITS), views), max_size=30))
    return label_table(rows, [*findings, NO_FINDING])


@pytest.fixture(scope="module")
def nih(shared_data):
    """NIH's whole label table, split by patient."""
    labels = read_labels(shared_data / "Data_Entry_2017_v2020.csv.gz")
    split = split_by_patient(labels["patient"], validation=0.1, test=0.1, seed=0)
    return labels.assign(split=split)


@pytest.fixture(scope="module")
def cxr_lt(shared_data, nih):
    """The validation and test labels of NIH-CXR-LT, with NIH's views."""
    parts = {
        split: pd.read_csv(shared_data / f"cxr_lt/nih-cxr-lt_{name}.csv.gz")
        for split, name in (("validation", "val"), ("test", "test"))
    }
    table = pd.concat(part.assign(split=split) for split, part in parts.items())
    names = {"id": "image", "subj_id": "patient", "Pleural Thickening": "Pleural_Thickening"}
    table = table.rename(columns=names).reset_index(drop=True)
    table = table.astype(dict.fromkeys(CLASSES, bool))
    return table.assign(view=table["image"].map(nih.set_index("image")["view"]))


def test_an_image_with_two_findings_counts_under_both(tmp_path, row, write_csv):
    texts = ["Mass|Nodule", "Mass", "No Finding", "", "Hernia"]
    write_csv(tmp_path, [row(f"{number}.png", text) for number, text in enumerate(texts)])
    expected = dict.fromkeys(NIH_CLASSES, 0)
    assert counts_of(tmp_path) == expected | {"Mass": 2, "Nodule": 1, NO_FINDING: 1, "Hernia": 1}


def test_rows_stand_in_the_order_of_table_1_beside_its_numbers():
    counts = count_classes(label_table([]))
    assert list(counts.columns) == ["finding", "count", "paper"]
    assert dict(zip(counts["finding"], counts["paper"], strict=True)) == PAPER_COUNTS
    assert counts["finding"].tolist() == list(PAPER_COUNTS)
    assert counts["paper"].is_monotonic_decreasing


def test_only_the_classes_that_the_labels_know_have_a_row():
    labels = label_table([({"Mass"}, "train", "PA")], [*FINDINGS, NO_FINDING])
    assert count_classes(labels)["finding"].tolist() == NIH_CLASSES
    assert count_classes_by_split_and_view(labels)["finding"].tolist() == NIH_CLASSES
    assert count_cooccurrence(labels)["finding"].tolist() == NIH_CLASSES[1:]


def test_table_1_names_every_class():
    assert set(PAPER_COUNTS) == set(CLASSES)
    assert (len(FINDINGS), len(CXR_LT_FINDINGS), len(CLASSES)) == (14, 5, 20)


def test_an_image_counts_once_in_its_split_its_view_and_both():
    labels = label_table(
        [
            ({"Mass", "Nodule"}, "train", "PA"),
            ({"Mass"}, "train", None),
            ({"Mass"}, "test", "AP"),
        ]
    )
    counts = count_classes_by_split_and_view(labels).set_index("finding")
    assert [counts.index.name, *counts.columns] == SPLIT_COLUMNS
    mass = counts.loc["Mass"].drop("group")
    assert mass[mass > 0].to_dict() == {
        "total": 3,
        "PA": 1,
        "AP": 1,
        "unknown": 1,
        "train": 2,
        "train_PA": 1,
        "train_unknown": 1,
        "test": 1,
        "test_AP": 1,
    }
    nodule = counts.loc["Nodule"].drop("group")
    assert nodule[nodule > 0].index.tolist() == ["total", "PA", "train", "train_PA"]
    assert not counts.drop(["Mass", "Nodule"]).drop(columns="group").to_numpy().any()


@pytest.mark.parametrize(
    ("images", "group"),
    [(0, "tail"), (99, "tail"), (100, "medium"), (1000, "medium"), (1001, "head")],
)
def test_a_class_has_its_place_in_the_long_tail(images, group):
    assert group_of(images) == group
    assert (TAIL_BELOW, HEAD_ABOVE) == (100, 1000)


def test_the_long_tail_goes_by_training_images():
    rows = [({"Mass"}, "train", "PA")] * 100 + [({"Mass", "Nodule"}, "test", "PA")] * 1001
    groups = count_classes_by_split_and_view(label_table(rows)).set_index("finding")["group"]
    assert groups[["Mass", "Nodule", "Hernia"]].tolist() == ["medium", "tail", "tail"]


def test_without_training_images_the_long_tail_goes_by_all():
    rows = [({"Mass"}, "test", "PA")] * 90 + [({"Mass", "Nodule"}, "validation", "PA")] * 20
    groups = count_classes_by_split_and_view(label_table(rows)).set_index("finding")["group"]
    assert groups[["Mass", "Nodule"]].tolist() == ["medium", "tail"]


def test_findings_of_one_image_are_counted_together():
    findings = [{"Mass", "Nodule", "Edema"}, {"Mass", "Nodule"}, {"Mass"}, {NO_FINDING}, set()]
    table = count_cooccurrence(label_table([(names, "train", "PA") for names in findings]))
    names = [name for name in PAPER_COUNTS if name != NO_FINDING]
    assert table.columns.tolist() == ["finding", *names, "alone"]
    table = table.set_index("finding")
    assert table.index.tolist() == names
    some = ["Mass", "Nodule", "Edema", "Hernia"]
    assert table.loc[some, [*some, "alone"]].to_numpy().tolist() == [
        [3, 2, 1, 0, 1],
        [2, 2, 1, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]


@settings(deadline=None, max_examples=60)
@given(labels=label_tables())
def test_splits_and_views_add_up_to_the_totals(labels):
    counts = count_classes(labels)
    table = count_classes_by_split_and_view(labels)
    assert table.columns.tolist() == SPLIT_COLUMNS
    assert table["finding"].tolist() == counts["finding"].tolist()
    assert table["total"].tolist() == counts["count"].tolist()
    assert table[list(SPLITS)].sum(axis=1).tolist() == counts["count"].tolist()
    assert table[list(VIEWS)].sum(axis=1).tolist() == counts["count"].tolist()
    for split in SPLITS:
        assert table[[f"{split}_{view}" for view in VIEWS]].sum(axis=1).equals(table[split])
        assert (
            table[split].tolist()
            == count_classes(labels[labels["split"] == split])["count"].tolist()
        )
    for view in VIEWS:
        assert table[[f"{split}_{view}" for split in SPLITS]].sum(axis=1).equals(table[view])


@settings(deadline=None, max_examples=60)
@given(labels=label_tables())
def test_cooccurrence_is_symmetric_around_the_counts(labels):
    table = count_cooccurrence(labels).set_index("finding")
    alone = table.pop("alone")
    both = table.to_numpy()
    counts = count_classes(labels).set_index("finding")["count"].drop(NO_FINDING)
    assert (both == both.T).all()
    assert both.diagonal().tolist() == counts.tolist()
    assert (both <= both.diagonal()).all()
    assert (alone <= counts).all()
    # Whoever is not alone stands beside at least one other.
    assert (alone + both.sum(axis=1) - both.diagonal() >= counts).all()


def test_nihs_whole_file_gives_table_1_but_for_no_finding(nih):
    counts = count_classes(nih)
    findings = counts[counts["finding"] != NO_FINDING]
    assert findings["count"].tolist() == findings["paper"].tolist()
    first = counts.iloc[0]
    assert (first["finding"], first["count"], first["paper"]) == (NO_FINDING, 60_361, 59_406)


def test_nihs_whole_file_is_counted_as_pandas_counts_its_text(shared_data, nih):
    raw = pd.read_csv(shared_data / "Data_Entry_2017_v2020.csv.gz")
    flags = raw["Finding Labels"].str.get_dummies("|")
    assert raw["Image Index"].tolist() == nih["image"].tolist()
    table = count_classes_by_split_and_view(nih).set_index("finding")
    assert table["total"].to_dict() == flags.sum().to_dict()
    cells = flags.groupby([nih["split"], raw["View Position"]]).sum()
    for (split, view), expected in cells.iterrows():
        assert table[f"{split}_{view}"].to_dict() == expected.to_dict()
    assert not table[[name for name in table.columns if "unknown" in name]].to_numpy().any()
    assert table["group"].to_dict() == dict.fromkeys(NIH_CLASSES, "head") | {"Hernia": "medium"}

    together = count_cooccurrence(nih).set_index("finding")
    findings = together.index.tolist()
    alone = raw["Finding Labels"].value_counts()[findings]
    assert together.pop("alone").tolist() == alone.tolist()
    for finding in findings:
        beside = flags.loc[flags[finding] == 1, findings].sum()
        assert together.loc[finding].tolist() == beside.tolist()


def test_nih_cxr_lts_labels_give_all_20_rows(cxr_lt):
    table = count_classes_by_split_and_view(cxr_lt).set_index("finding")
    assert table.index.tolist() == list(PAPER_COUNTS)
    assert count_classes(cxr_lt)["count"].tolist() == table["total"].tolist()
    assert table["total"].to_dict() == cxr_lt[list(CLASSES)].sum().to_dict()
    for split in ("validation", "test"):
        expected = cxr_lt.loc[cxr_lt["split"] == split, list(CLASSES)].sum()
        assert table[split].to_dict() == expected.to_dict()
    assert table["validation"].gt(0).all()
    assert not table["train"].any()
    assert set(table["group"]) == {"head", "medium", "tail"}

    together = count_cooccurrence(cxr_lt).set_index("finding")
    assert together.shape == (19, 20)
    both = (cxr_lt["Emphysema"] & cxr_lt["Subcutaneous Emphysema"]).sum()
    assert together.loc["Emphysema", "Subcutaneous Emphysema"] == both > 0


def test_a_thousand_real_images_count_as_in_the_text_of_their_csv(nih1000):
    with (nih1000 / "Data_Entry_2017_v2020.csv").open(newline="") as file:
        cells = [line["Finding Labels"] for line in csv.DictReader(file)]
    by_hand = Counter(name for cell in cells for name in cell.split("|"))
    assert len(by_hand) == 15
    assert counts_of(nih1000) == by_hand


@pytest.mark.parametrize("finding", NIH_CLASSES)
def test_each_finding_is_counted_in_its_own_row(tmp_path, row, write_csv, finding):
    write_csv(tmp_path, [row(findings=finding)])
    assert {name for name, count in counts_of(tmp_path).items() if count} == {finding}
