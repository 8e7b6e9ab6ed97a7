"""The official JSON Schema Test Suite against compiled schemas, but for the differences that are listed.

`json_schema_test_suite.zip` holds the tests of drafts 4 to 2020-12 with their licence (MIT), as the source archive of
jsonschema 4.26 carries them; no installed package does. `json_schema_differences.json` names each test that ends
differently, with the reason. A difference that is gone has to leave that file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from app.errors import Problem
from app.schemas.cache import NotCompiled, compile_schema
from app.schemas.compiling import Compiled
from app.schemas.keywords import Undecidable
from app.schemas.validation import MAX_VERDICT_EFFORT, check_schema
from backends.codec import dumps

HERE = Path(__file__).parent
DIALECTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}


@cache
def files() -> dict[str, Any]:
    """Return the groups of tests in each file of the suite."""
    with ZipFile(HERE / "json_schema_test_suite.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".json")]
        return {name.removeprefix("./"): json.loads(archive.read(name)) for name in names}


def accepts(schema: Any, instance: Any) -> bool:
    """Return whether a value of any type is valid, as a member of an object would be; a refused schema accepts none."""
    text = dumps(schema)
    compiled = compile_schema(text)
    try:
        refused = check_schema(schema, "schema")
    except NotCompiled:
        pytest.fail("the schema was not kept")
    if refused or isinstance(compiled, Problem):
        return False
    try:
        return is_valid(compiled, instance)
    except Undecidable:
        return False


def is_valid(compiled: Compiled, instance: Any) -> bool:
    """Return the verdict, within the effort that a record may take."""
    assert compiled.efforts.are_within(MAX_VERDICT_EFFORT, instance)
    return compiled.accepts(instance)


def differing(name: str) -> Iterator[str]:
    """Yield each test of a file that does not end as the suite says."""
    for group in files()[name]:
        # A schema that is `true` or `false` cannot be stored.
        if isinstance(group["schema"], bool):
            continue
        schema = {"$schema": DIALECTS[name.partition("/")[0]], **group["schema"]}
        for test in group["tests"]:
            if accepts(schema, test["data"]) is not test["valid"]:
                yield f"{name}: {group['description']}: {test['description']}"


def differences() -> dict[str, list[str]]:
    """Return the tests that end differently, by the reason."""
    listed: dict[str, list[str]] = json.loads((HERE / "json_schema_differences.json").read_text())
    return listed


@pytest.mark.parametrize("name", sorted(files()))
def test_a_file_of_the_suite_differs_where_it_is_listed_and_nowhere_else(name: str) -> None:
    expected = {test for tests in differences().values() for test in tests if test.startswith(f"{name}: ")}

    assert set(differing(name)) == expected


def test_every_listed_difference_is_a_test_of_the_suite() -> None:
    known = {
        f"{name}: {group['description']}: {test['description']}"
        for name, groups in files().items()
        for group in groups
        for test in group["tests"]
    }

    assert {test for tests in differences().values() for test in tests} <= known
