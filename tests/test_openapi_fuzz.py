"""Requests made from the OpenAPI document are answered, with answers of the documented kinds (C-UTIL-21).

Schemathesis reads `/v1/__api__` of an application in this process and sends it what the document allows: on SQLite,
since `tests/test_bad_input.py` sends its requests to both databases.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.client import Client, basic
from tests.support.databases import make_app, sqlite_url
from tests.test_bad_input import OPEN_TO_ALL

bounded = settings(
    max_examples=4,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def described() -> Iterator[schemathesis.BaseSchema]:
    """Give the document of a service where everybody may do everything."""
    app = make_app(sqlite_url(), OPEN_TO_ALL)
    Client(app).put("/buckets/0")
    Client(app).put("/buckets/0/collections/0")
    yield schemathesis.openapi.from_wsgi("/v1/__api__", app)
    app.extensions["kinto"].close()


def test_documented_requests_are_answered_as_documented(described: schemathesis.BaseSchema) -> None:
    names = []
    for result in described.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        names.append(operation.label)

        @bounded
        @given(case=operation.as_strategy())
        def is_answered(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(
                headers={"Authorization": basic("alice")},
                checks=[
                    not_a_server_error,
                    content_type_conformance,
                    response_schema_conformance,
                    status_code_conformance,
                ],
            )

        is_answered()
    assert {"GET /buckets", "PATCH /buckets/{id}", "POST /batch", "PUT /accounts/{id}"} <= set(names)
