"""`docs/promises.md` names tests; they are there."""

import re

import pytest
from tests.conftest import REPOSITORY

PROMISES = (REPOSITORY / "docs/promises.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PROMISES)


def test_every_promise_names_a_test():
    parts = re.split(r"^## \d+\. ", PROMISES, flags=re.M)
    assert len(parts) == 1 + 13
    assert all("`tests/" in part for part in parts[1:])


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_the_tests_that_hold_the_promises_are_there(file, test):
    source = (REPOSITORY / file).read_text()
    assert f"def {test or 'test_'}" in source
