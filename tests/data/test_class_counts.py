import csv
from collections import Counter

import pytest

from cxr_pipeline.data.class_counts import count_classes
from cxr_pipeline.data.findings import FINDINGS, NO_FINDING, PAPER_COUNTS
from cxr_pipeline.data.labels import read_labels


def counts_of(folder):
    return count_classes(read_labels(folder)).set_index("finding")["count"].to_dict()


def test_an_image_with_two_findings_counts_under_both(tmp_path, row, write_csv):
    texts = ["Mass|Nodule", "Mass", "No Finding", "", "Hernia"]
    write_csv(tmp_path, [row(f"{number}.png", text) for number, text in enumerate(texts)])
    expected = dict.fromkeys(PAPER_COUNTS, 0)
    assert counts_of(tmp_path) == expected | {"Mass": 2, "Nodule": 1, NO_FINDING: 1, "Hernia": 1}


def test_rows_stand_in_the_order_of_table_1_beside_its_numbers(tmp_path, row, write_csv):
    write_csv(tmp_path, [row()])
    counts = count_classes(read_labels(tmp_path))
    assert list(counts.columns) == ["finding", "count", "paper"]
    assert dict(zip(counts["finding"], counts["paper"], strict=True)) == PAPER_COUNTS
    assert counts["finding"].tolist() == list(PAPER_COUNTS)
    assert counts["paper"].is_monotonic_decreasing


def test_table_1_names_the_fourteen_findings_and_no_finding():
    assert set(PAPER_COUNTS) == {*FINDINGS, NO_FINDING}
    assert len(FINDINGS) == 14


def test_nihs_whole_file_gives_table_1_but_for_no_finding(shared_data):
    counts = count_classes(read_labels(shared_data / "Data_Entry_2017_v2020.csv.gz"))
    findings = counts[counts["finding"] != NO_FINDING]
    assert findings["count"].tolist() == findings["paper"].tolist()
    first = counts.iloc[0]
    assert (first["finding"], first["count"], first["paper"]) == (NO_FINDING, 60_361, 59_406)


def test_a_thousand_real_images_count_as_in_the_text_of_their_csv(nih1000):
    with (nih1000 / "Data_Entry_2017_v2020.csv").open(newline="") as file:
        cells = [line["Finding Labels"] for line in csv.DictReader(file)]
    by_hand = Counter(name for cell in cells for name in cell.split("|"))
    assert len(by_hand) == 15
    assert counts_of(nih1000) == by_hand


@pytest.mark.parametrize("finding", PAPER_COUNTS)
def test_each_finding_is_counted_in_its_own_row(tmp_path, row, write_csv, finding):
    write_csv(tmp_path, [row(findings=finding)])
    assert {name for name, count in counts_of(tmp_path).items() if count} == {finding}
