"""Promise 11: no parameter takes what it should not, whichever it is."""

import math

import pytest
from pydantic import BaseModel
from tests.parameters.configuration import BASE, changed, refusal

from cxr_pipeline.parameters import Parameters


def places(content, prefix=""):
    """The path of every section, and of every single parameter, of the base configuration."""
    sections, leaves = [], []
    for name, value in content.items():
        if isinstance(value, dict):
            inner_sections, inner_leaves = places(value, f"{prefix}{name}.")
            sections += [prefix + name, *inner_sections]
            leaves += inner_leaves
        else:
            leaves.append(prefix + name)
    return sections, leaves


SECTIONS, LEAVES = places(BASE)
NOT_PATHS = ("..", "../x", "/x", "a/b", "a\\b", "C:x", ".hidden", "", "x\n", "x\0")


def fields(model, prefix=""):
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_field_is_tried_below():
    left_out = set(fields(Parameters)) - {*LEAVES} - {"gmvae.versions", "download.label_file.md5"}
    assert left_out == set()


@pytest.mark.parametrize("section", ["", *SECTIONS])
def test_an_unknown_key_is_refused_in_every_section(section):
    path = f"{section}.unknown_key".removeprefix(".")
    if section == "gmvae.versions":
        assert path in refusal(changed(path, 1))  # a version of that name, which is no row
    else:
        assert f"unknown parameter '{path}'" in refusal(changed(path, 1))


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, -(2**40), {"a": 1}, b"bytes", object()],
    ids=lambda value: type(value).__name__ + str(value)[:8],
)
def test_what_no_parameter_takes_is_refused_of_each_by_name(value):
    taken = []
    for path in LEAVES:
        try:
            message = refusal(changed(path, value))
        except pytest.fail.Exception:
            taken.append(path)
        else:
            # Of a section as a whole, as of the ages, the section is named.
            assert path in message, message
    assert taken == []


NUMBERS_IN_LISTS = ["gan.betas", "gan.sample_at", "vae.sample_at", "gmvae.sample_at"]


@pytest.mark.parametrize("path", [*NUMBERS_IN_LISTS, "vae_beta_sweep.betas"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -(2**40), "1", None, [1]])
def test_so_it_is_within_lists(path, value):
    assert path in refusal(changed(path, [value, value]))


def numbers():
    for path in LEAVES:
        value = BASE
        for key in path.split("."):
            value = value[key]
        if isinstance(value, int | float):
            yield path, value


def test_text_is_no_number_and_no_truth_and_a_truth_is_no_number():
    for path, value in numbers():
        assert path in refusal(changed(path, "text"))
        if not isinstance(value, bool):
            assert path in refusal(changed(path, True)), path
        else:
            assert path in refusal(changed(path, 1)), path


@pytest.mark.parametrize("path", ["gan.resume", "vae.compile", "preprocessing.equalise"])
@pytest.mark.parametrize("value", [0, 1, 1.0, "true"])
def test_neither_number_nor_text_is_a_truth_where_a_name_would_do_too(path, value):
    assert f"parameter {path}={value!r}: should be" in refusal(changed(path, value))


@pytest.mark.parametrize("name", NOT_PATHS)
def test_a_name_that_leads_out_of_its_folder_is_refused_wherever_it_becomes_one(name):
    row = BASE["gmvae"]["versions"]["v8"]
    assert "gmvae" in refusal(changed("gmvae.version", name))
    assert "gmvae.versions" in refusal(
        changed("gmvae.versions", BASE["gmvae"]["versions"] | {name: row})
    )
    if name:  # nothing means all
        assert "gmvae_sweep" in refusal(changed("gmvae_sweep.versions", [name]))
    archive = {"name": name, "url": None}
    assert "download.label_file.name" in refusal(changed("download.label_file", archive))
    assert "download.archives" in refusal(changed("download.archives", [archive]))
    inside = {"name": f"images_{name}/x.tar.gz", "url": None}
    assert "download.archives" in refusal(changed("download.archives", [inside]))


@pytest.mark.parametrize(
    "change", ["gmvae.version=../v8", "gan.learning_rate=.nan", "vae.beta=inf"]
)
def test_a_real_run_refuses_before_it_reads_or_writes(project, raw_dir, change):
    done = project.run("--pipeline=labels", f"--params=raw_dir={raw_dir},{change}")
    assert done.returncode == 1, done.stdout + done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert change.split(".")[0] in error
    assert not (project.folder / "data").exists()
