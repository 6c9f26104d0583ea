import json

import numpy as np
import pytest
from PIL import Image

from cxr_pipeline.data.findings import NO_FINDING, classes_among
from cxr_pipeline.data.labels import check_labels, findings_text, read_labels
from cxr_pipeline.data.raw_folder import write_raw_folder
from cxr_pipeline.data.sources import find_images
from cxr_pipeline.data.splits import split_by_patient
from cxr_pipeline.data.synthetic import synthetic_folder


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (5, 16, 16), dtype=np.uint8)


@pytest.fixture
def describe(pictures):
    def make(findings=(), labels=("",) * 5):
        config = {
            "model": "gan",
            "image_size": 16,
            "parameters": {"selection": {"findings": list(findings)}, "epochs": 3},
            "weights_sha256": "ab" * 32,
            "image_store_digest": "cd" * 32,
            "steps": 400,
            "seconds": 12.5,
        }
        return synthetic_folder(iter(pictures), labels, config, seed=9, temperature=0.7)

    return make


def test_synthetic_images_are_a_data_set_of_the_same_layout(tmp_path, describe, pictures):
    write_raw_folder(describe(), tmp_path)
    labels = read_labels(tmp_path)
    names = [f"gan_00000{number}.png" for number in range(5)]
    assert labels["image"].tolist() == names
    found = find_images(tmp_path)
    assert sorted(found) == names
    for name, picture in zip(names, pictures, strict=True):
        with Image.open(found[name].path) as image:
            assert np.array_equal(np.asarray(image), picture)


def test_labels_pass_the_schema_with_age_sex_and_view_unknown(tmp_path, describe):
    write_raw_folder(describe(), tmp_path)
    labels = read_labels(tmp_path)
    labels["split"] = split_by_patient(labels["patient"], validation=0.2, test=0.2, seed=0)
    assert check_labels(labels) is labels
    assert labels[["age", "sex", "view"]].isna().all(axis=None)
    assert labels["follow_up"].tolist() == [0] * 5


def test_every_synthetic_image_is_its_own_patient(tmp_path, describe):
    write_raw_folder(describe(), tmp_path)
    assert read_labels(tmp_path)["patient"].tolist() == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("trained_on", "finding"),
    [
        ((), ""),
        (("Mass",), "Mass"),
        (("Tortuous Aorta",), "Tortuous Aorta"),
        ((NO_FINDING,), NO_FINDING),
        (("Mass", "Nodule"), ""),
    ],
)
def test_the_finding_is_that_of_the_training_images_where_they_shared_one(
    tmp_path, describe, trained_on, finding
):
    write_raw_folder(describe(trained_on), tmp_path)
    labels = read_labels(tmp_path)
    assert findings_text(labels).tolist() == [finding] * 5
    assert labels[classes_among(labels.columns)].to_numpy().sum() == (5 if finding else 0)


def test_of_a_model_that_can_be_asked_each_image_has_the_findings_it_was_asked_for(
    tmp_path, describe
):
    asked = ["Mass", NO_FINDING, "Mass|Nodule", "Edema", "Mass"]
    # Whatever the training images shared.
    write_raw_folder(describe(("Mass",), labels=asked), tmp_path)
    assert findings_text(read_labels(tmp_path)).tolist() == asked


def test_the_provenance_names_model_weights_data_seed_and_temperature(tmp_path, describe):
    write_raw_folder(describe(), tmp_path)
    assert json.loads((tmp_path / "provenance.json").read_text()) == {
        "synthetic": True,
        "model": "gan",
        "weights_sha256": "ab" * 32,
        "image_store_digest": "cd" * 32,
        "steps": 400,
        "seed": 9,
        "temperature": 0.7,
        "images": 5,
        "audited": False,
    }


def test_sizes_stand_in_nihs_columns(describe):
    table = describe().table
    assert list(table.columns)[7:9] == ["OriginalImage[Width", "Height]"]
    assert table.iloc[:, 7:9].to_numpy().tolist() == [[16, 16]] * 5


@pytest.mark.parametrize("count", [4, 6])
def test_another_number_of_images_than_announced_is_refused(tmp_path, describe, count):
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is (longer|shorter)"):
        write_raw_folder(describe(labels=[""] * count), tmp_path)
    assert not (tmp_path / "Data_Entry_synthetic.csv").exists()


def test_of_an_audited_data_set_the_record_says_what_was_found_and_the_rest_keep_their_names(
    tmp_path, pictures
):
    config = {
        "model": "gan",
        "image_size": 16,
        "parameters": {"selection": {"findings": []}},
        "weights_sha256": "ab" * 32,
        "image_store_digest": "cd" * 32,
        "steps": 400,
    }
    asked = ["Mass", "Nodule", "Edema", "Mass", "Hernia"]
    audit = {"copies": 2, "left_out": 2}
    folder = synthetic_folder(
        iter(pictures), asked, config, seed=9, temperature=0.7, left_out={1, 3}, audit=audit
    )
    write_raw_folder(folder, tmp_path)
    labels = read_labels(tmp_path)
    assert labels["image"].tolist() == ["gan_000000.png", "gan_000002.png", "gan_000004.png"]
    assert findings_text(labels).tolist() == ["Mass", "Edema", "Hernia"]
    with Image.open(find_images(tmp_path)["gan_000002.png"].path) as image:
        assert np.array_equal(np.asarray(image), pictures[2])
    record = json.loads((tmp_path / "provenance.json").read_text())
    assert record["images"] == 3
    assert record["audited"] is True
    assert (record["copies"], record["left_out"]) == (2, 2)
