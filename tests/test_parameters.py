import copy
import math
from pathlib import Path

import pytest
import yaml

from cxr_pipeline.data.findings import CLASSES
from cxr_pipeline.data.selection import EVERYTHING, Selection
from cxr_pipeline.parameters import Parameters, check_parameters

PROJECT = Path(__file__).resolve().parents[1]
BASE = {
    section: content
    for path in (PROJECT / "conf/base").glob("parameters*.yml")
    for section, content in yaml.safe_load(path.read_text()).items()
}


def changed(path, value):
    parameters = copy.deepcopy(BASE)
    *sections, name = path.split(".")
    section = parameters
    for key in sections:
        section = section[key]
    section[name] = value
    return parameters


def refusal(parameters):
    with pytest.raises(ValueError, match=r"conf/base/parameters\.yml") as caught:
        check_parameters(parameters)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_base_configuration_is_valid_and_the_paper_s():
    parameters = check_parameters(BASE)
    gan = parameters.gan
    assert (gan.dim_z, gan.batch_size, gan.learning_rate) == (100, 64, 2e-4)
    assert (gan.betas, gan.generator_steps, gan.sample_at) == ((0.5, 0.999), 3, (0, 400, -1))
    assert parameters.preprocessing.size == 128


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("gan.epochs", 0),
        ("gan.epochs", 1.5),
        ("gan.epochs", True),
        ("gan.batch_size", "64"),
        ("gan.learning_rate", math.nan),
        ("gan.learning_rate", math.inf),
        ("gan.learning_rate", -1e-4),
        ("gan.betas", [0.5, 1.0]),
        ("gan.betas", [0.5]),
        ("gan.precision", "half"),
        ("gan.resume", "maybe"),
        ("gan.max_steps", -1),
        ("labels.test", 1.0),
        ("labels.source", "mimic"),
        ("labels.splits", "official"),
        ("gan.selection.youngest", -1),
        ("gan.selection.oldest", 121),
        ("gan.selection.oldest", 40.5),
        ("gan.selection.one_image_a_patient", "yes"),
        ("preprocessing.size", 8),
        ("preprocessing.max_quarantined", 1.1),
        ("preprocessing.workers", 0),
        ("download.attempts", 0),
        ("download.timeout", 0.0),
        ("download.max_unpacked_gb", -1.0),
        ("download.label_file.url", "ftp://nih.gov/labels.csv"),
        ("download.label_file.name", "../labels.csv"),
        ("download.label_file.size", 0),
        ("download.label_file.sha256", "abc"),
        ("download.label_file.md5", "not hexadecimal, though as long"),
    ],
)
def test_a_value_out_of_range_or_of_another_type_is_refused_by_name(path, value):
    message = refusal(changed(path, value))
    assert path in message
    if value is not None and not isinstance(value, list):
        assert repr(value) in message


@pytest.mark.parametrize("value", [None, ""])
def test_no_raw_dir_says_how_to_name_it(value):
    with pytest.raises(ValueError, match=r"raw_dir is not set: set CXR14_DIR .* or give --params"):
        check_parameters(BASE | {"raw_dir": value})


def test_an_unknown_parameter_is_refused_with_the_likely_one():
    message = refusal(changed("gan.epoch", 3))
    assert "unknown parameter 'gan.epoch': did you mean 'gan.epochs'?" in message


def test_an_unknown_section_is_refused():
    assert "unknown parameter 'gun'" in refusal(BASE | {"gun": {}})


def test_a_missing_parameter_is_named():
    parameters = copy.deepcopy(BASE)
    del parameters["gan"]["dim_z"]
    assert "parameter 'gan.dim_z' is missing" in refusal(parameters)


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


def test_all_problems_are_listed_at_once():
    parameters = changed("gan.epochs", 0)
    parameters["preprocessing"]["size"] = 8
    message = refusal(parameters)
    assert "gan.epochs=0" in message
    assert "preprocessing.size=8" in message


def test_every_parameter_is_described():
    def undescribed(model, prefix=""):
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                yield from undescribed(field.annotation, f"{prefix}{name}.")
            elif not field.description:
                yield prefix + name

    assert list(undescribed(Parameters)) == []


def test_a_finding_named_twice_counts_once():
    parameters = check_parameters(changed("gan.selection.findings", "Mass|mass|Nodule"))
    assert parameters.gan.selection.findings == ("Mass", "Nodule")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("gmvae.version", "v9", "unknown version=v9: choose from fs_v1, fs_v2, fs_v3, v3"),
        ("gmvae.versions.v5.encoder", "resnet50", "gmvae.versions.v5.encoder='resnet50'"),
        ("gmvae.versions.v5.decoder", "3", "gmvae.versions.v5.decoder='3'"),
        ("gmvae_sweep.versions", "v8|v9", "gmvae_sweep.versions: unknown version v9: choose"),
        ("gan.sample_findings", ["Mess"], "unknown finding 'Mess': choose from Atelectasis"),
        ("gan.sample_findings", "Mass", "set conditional=true, or sample_findings=[]"),
        ("gan.sample_findings", "flat", "trained without findings: set conditional=true"),
        ("gmvae.sample_findings", "Mass", "set a version fs_..., or sample_findings=[]"),
        ("vae.sample_findings", "Mass", "unknown parameter 'vae.sample_findings'"),
    ],
)
def test_what_no_model_can_do_is_refused(path, value, message):
    assert message in refusal(changed(path, value))


@pytest.mark.parametrize("asked", ["Mass|Cardiomegaly", "training", "flat", "No Finding", ""])
def test_a_conditional_model_can_be_asked_for_findings(asked):
    own = BASE["gan"] | {"conditional": True, "sample_findings": asked}
    taken = check_parameters(BASE | {"gan": own}).gan.sample_findings
    assert taken == tuple(asked.split("|") if asked else ())


@pytest.mark.parametrize("asked", ["flat|Mass", "No Finding|Mass", "training|flat"])
def test_what_goes_with_no_other_finding_is_refused_with_one(asked):
    own = BASE["gan"] | {"conditional": True, "sample_findings": asked}
    assert "go with no other" in refusal(BASE | {"gan": own})
