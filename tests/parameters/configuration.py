"""The base configuration as it stands, and changes to it."""

import copy
from pathlib import Path

import pytest
import yaml

from cxr_pipeline.parameters import check_parameters

PROJECT = Path(__file__).resolve().parents[2]
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
    with pytest.raises(ValueError, match=r"\(see docs/parameters\.md\)") as caught:
        check_parameters(parameters)
    message = str(caught.value)
    assert "\n" not in message
    return message
