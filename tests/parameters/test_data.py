import pytest
from tests.parameters.configuration import BASE, changed, refusal

from cxr_pipeline.data.findings import CLASSES
from cxr_pipeline.data.selection import EVERYTHING, Selection
from cxr_pipeline.parameters import check_parameters

SELECTIONS = ("gan.selection", "preprocessing.selection")


def selected(path, name, value):
    """What a selection becomes, with one thing asked of it."""
    section = path.split(".")[0]
    parameters = check_parameters(changed(f"{path}.{name}", value))
    return getattr(parameters, section).selection.selection()


@pytest.mark.parametrize("path", SELECTIONS)
def test_everything_is_selected_unless_something_is_asked_for(path):
    section = path.split(".")[0]
    assert getattr(check_parameters(BASE), section).selection.selection() == EVERYTHING


@pytest.mark.parametrize("path", SELECTIONS)
@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("findings", "Mass|Nodule", ("Mass", "Nodule")),
        ("findings", "pleural thickening", ("Pleural_Thickening",)),
        ("findings", " no finding | MASS ", ("No Finding", "Mass")),
        ("findings", ["Tortuous_Aorta"], ("Tortuous Aorta",)),
        ("findings", "", ()),
        ("findings", list(CLASSES), CLASSES),
        ("views", "PA|AP", ("PA", "AP")),
        ("views", ["AP"], ("AP",)),
        ("sexes", "F", ("F",)),
        ("youngest", 0, 0),
        ("oldest", 120, 120),
        ("one_image_a_patient", True, True),
    ],
)
def test_what_is_asked_of_images_is_taken_as_a_list_or_as_typed(path, name, value, taken):
    assert selected(path, name, value) == Selection(**{name: taken})


@pytest.mark.parametrize("path", SELECTIONS)
@pytest.mark.parametrize("value", [["Cardiomegalie"], "Mass|Cardiomegalie", "Cardiomegalie"])
def test_an_unknown_finding_is_refused_with_those_there_are(path, value):
    message = refusal(changed(f"{path}.findings", value))
    assert f"{path}.findings" in message
    assert "unknown finding 'Cardiomegalie'" in message
    assert all(name in message for name in CLASSES)


def test_an_unknown_finding_with_a_line_break_in_it_stays_on_one_line():
    assert r"unknown finding 'Go\nut'" in refusal(changed("gan.selection.findings", "Go\nut"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("views", "PA|LL", "gan.selection.views.1='LL': should be 'PA' or 'AP'"),
        ("sexes", ["X"], "gan.selection.sexes.0='X': should be 'M' or 'F'"),
        ("findings", 5, "gan.selection.findings=5"),
        ("findings", None, "gan.selection.findings=None"),
        ("view", "PA", "unknown parameter 'gan.selection.view'"),
    ],
)
def test_a_selection_of_what_there_is_not_is_refused_by_name(name, value, expected):
    assert expected in refusal(changed(f"gan.selection.{name}", value))


def test_ages_that_leave_nobody_are_refused():
    parameters = changed("gan.selection.youngest", 60)
    parameters["gan"]["selection"]["oldest"] = 40
    message = refusal(parameters)
    assert "parameter gan.selection: youngest must not be above oldest=40" in message
    assert "youngest must not be above oldest=40" in message
    parameters["gan"]["selection"]["oldest"] = 60
    assert check_parameters(parameters).gan.selection.oldest == 60


def test_a_finding_named_twice_counts_once():
    parameters = check_parameters(changed("gan.selection.findings", "Mass|mass|Nodule"))
    assert parameters.gan.selection.findings == ("Mass", "Nodule")


@pytest.mark.parametrize("splits", ["auto", "patient", "nih", "cxr_lt"])
@pytest.mark.parametrize("source", ["auto", "nih", "cxr_lt"])
def test_every_source_of_labels_goes_with_every_source_of_splits(source, splits):
    parameters = changed("labels.splits", splits)
    parameters["labels"]["source"] = source
    labels = check_parameters(parameters).labels
    assert (labels.source, labels.splits) == (source, splits)


def test_splits_of_another_name_are_refused_with_those_there_are():
    message = refusal(changed("labels.splits", "official"))
    assert "should be 'auto', 'patient', 'nih' or 'cxr_lt'" in message


def test_shares_that_leave_nobody_to_train_on_are_refused():
    parameters = changed("labels.validation", 0.5)
    parameters["labels"]["test"] = 0.5
    assert "must stay below 1" in refusal(parameters)


def test_nih_s_twelve_archives_are_configured_once_each():
    download = check_parameters(BASE).download
    assert [archive.name for archive in download.archives] == [
        f"images_{number:03d}.tar.gz" for number in range(1, 13)
    ]
    for known in ("url", "size", "md5"):
        assert len({getattr(archive, known) for archive in download.archives}) == 12
    assert 45e9 < sum(archive.size for archive in download.archives) < 45.1e9


def test_a_file_of_which_only_name_and_address_are_known_is_enough():
    parameters = changed("download.label_file", {"name": "labels.csv", "url": None})
    assert check_parameters(parameters).download.label_file.size is None


@pytest.mark.parametrize(
    "name", ["pictures.tar.gz", "images_001.zip", "images_001", "images_a.b.tar"]
)
def test_an_archive_whose_folder_would_not_be_found_is_refused(name):
    message = refusal(changed("download.archives", [{"name": name, "url": None}]))
    assert f"archive '{name}' must be called images_*.tar.gz" in message


def test_two_archives_of_one_folder_are_refused():
    names = ["images_001.tar.gz", "images_001.tar"]
    archives = [{"name": name, "url": None} for name in names]
    assert "become the same folder" in refusal(changed("download.archives", archives))
