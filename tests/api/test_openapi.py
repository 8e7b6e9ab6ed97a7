"""`GET /__api__`: the OpenAPI document of the running service (core contract, 2.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis

from app.kinds import Kind
from app.parsing import ids
from app.service import Service
from app.settings import SettingError
from blueprints.openapi import document, expect_distinct_names
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Client

pytestmark = on_sqlite

RESOURCES = {
    "/buckets": {"get": "get_buckets", "post": "create_bucket", "delete": "delete_buckets"},
    "/buckets/{id}": {
        "get": "get_bucket",
        "put": "update_bucket",
        "patch": "patch_bucket",
        "delete": "delete_bucket",
    },
    "/buckets/{bucket_id}/collections": {
        "get": "get_collections",
        "post": "create_collection",
        "delete": "delete_collections",
    },
    "/buckets/{bucket_id}/collections/{id}": {
        "get": "get_collection",
        "put": "update_collection",
        "patch": "patch_collection",
        "delete": "delete_collection",
    },
    "/buckets/{bucket_id}/groups": {"get": "get_groups", "post": "create_group", "delete": "delete_groups"},
    "/buckets/{bucket_id}/groups/{id}": {
        "get": "get_group",
        "put": "update_group",
        "patch": "patch_group",
        "delete": "delete_group",
    },
    "/buckets/{bucket_id}/collections/{collection_id}/records": {
        "get": "get_records",
        "post": "create_record",
        "delete": "delete_records",
    },
    "/buckets/{bucket_id}/collections/{collection_id}/records/{id}": {
        "get": "get_record",
        "put": "update_record",
        "patch": "patch_record",
        "delete": "delete_record",
    },
}
UTILITIES = {
    "/": {"get": "server_info"},
    "/__heartbeat__": {"get": "__heartbeat__"},
    "/__lbheartbeat__": {"get": "__lbheartbeat__"},
    "/__version__": {"get": "__version__"},
    "/contribute.json": {"get": "contribute"},
    "/__api__": {"get": "get_openapi_spec"},
    "/batch": {"post": "batch"},
}
METHODS = ("get", "put", "post", "patch", "delete")


def operations(api: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, method and description of every operation."""
    for path, item in api["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


@pytest.fixture
def api(client: Client) -> dict[str, Any]:
    """Return the document of a service with the usual settings."""
    document: dict[str, Any] = client.as_(None).get("/__api__").json
    return document


def test_document_names_the_operations_that_generated_clients_call(api: dict[str, Any]) -> None:
    """C-UTIL-21."""
    named: dict[str, dict[str, str]] = {}
    for path, method, operation in operations(api):
        named.setdefault(path, {})[method] = operation["operationId"]

    assert named == UTILITIES | RESOURCES


def test_document_is_valid_swagger(api: dict[str, Any]) -> None:
    schema = schemathesis.openapi.from_dict(api)

    schema.validate()


def test_document_tells_what_and_where_the_service_is(api: dict[str, Any]) -> None:
    """C-UTIL-21."""
    members = {name: api[name] for name in ("swagger", "info", "host", "schemes", "basePath")}

    assert members == {
        "swagger": "2.0",
        "info": {"title": "kinto", "version": "1.23"},
        "host": "localhost",
        "schemes": ["http"],
        "basePath": "/v1",
    }


def test_document_has_a_tag_for_each_kind(api: dict[str, Any]) -> None:
    names = [tag["name"] for tag in api["tags"]]

    assert names == ["Batch", "Utilities", "Buckets", "Collections", "Groups", "Records"]


def test_document_has_a_security_definition_for_each_policy(api: dict[str, Any]) -> None:
    """C-UTIL-22."""
    used = {path: operation["security"] for path, _, operation in operations(api)}

    assert api["securityDefinitions"] == {"basicauth": {"type": "basic"}}
    assert used == {key: [{"basicauth": []}] for key in RESOURCES} | {key: [] for key in UTILITIES}


def test_document_takes_host_and_scheme_from_the_settings(client_with: ClientMaker) -> None:
    """C-URL-26."""
    client = client_with({"kinto.http_host": "kinto.example.org:8443", "kinto.http_scheme": "https"})

    api = client.get("/__api__").json

    assert (api["host"], api["schemes"]) == ("kinto.example.org:8443", ["https"])


def test_document_keeps_the_host_of_the_first_request(client_with: ClientMaker) -> None:
    """C-UTIL-21."""
    client = client_with(kept=False)
    first = client.get("/__api__", host="first.example.org").json

    second = client.get("/__api__", host="second.example.org").json

    assert first["host"] == second["host"] == "first.example.org"


@pytest.mark.parametrize(
    ("setting", "path", "method"),
    [
        pytest.param("plural_record_delete_enabled", "collections/{collection_id}/records", "delete", id="of lists"),
        pytest.param("object_collection_put_enabled", "collections/{id}", "put", id="of objects"),
    ],
)
def test_document_lacks_a_method_that_is_switched_off(
    client_with: ClientMaker, setting: str, path: str, method: str
) -> None:
    """C-URL-22, C-UTIL-22."""
    api = client_with({f"kinto.{setting}": "false"}).get("/__api__").json

    item = api["paths"]["/buckets/{bucket_id}/" + path]
    assert method not in item
    assert "get" in item


def test_document_has_the_permissions_endpoint_when_it_is_offered(client_with: ClientMaker) -> None:
    """C-UTIL-22."""
    api = client_with({"kinto.experimental_permissions_endpoint": "true"}).get("/__api__").json

    assert api["paths"]["/permissions"]["get"]["operationId"] == "get_permissions"


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        pytest.param(
            "/buckets",
            "get",
            "If-Match If-None-Match _before _fields _limit _since _sort _to _token id last_modified",
            id="reading a list",
        ),
        pytest.param(
            "/buckets",
            "delete",
            "If-Match If-None-Match _before _limit _since _sort _to _token id last_modified",
            id="deleting a list",
        ),
        pytest.param(
            "/buckets/{bucket_id}/collections/{collection_id}/records",
            "get",
            "If-Match If-None-Match _before _explain _fields _limit _search _since _sort _to _token id last_modified",
            id="reading a list that may have indexes",
        ),
        pytest.param(
            "/buckets/{bucket_id}/collections/{collection_id}/records",
            "delete",
            "If-Match If-None-Match _before _limit _search _since _sort _to _token id last_modified",
            id="deleting a list that may have indexes",
        ),
        pytest.param("/buckets", "post", "If-Match If-None-Match body", id="creating"),
        pytest.param("/buckets/{id}", "get", "If-Match If-None-Match _fields", id="reading an object"),
        pytest.param("/buckets/{id}", "put", "If-Match If-None-Match body", id="replacing an object"),
        pytest.param(
            "/buckets/{id}", "patch", "If-Match If-None-Match Response-Behavior body", id="changing an object"
        ),
        pytest.param("/buckets/{id}", "delete", "If-Match If-None-Match", id="deleting an object"),
    ],
)
def test_operation_has_the_parameters_that_it_understands(
    api: dict[str, Any], path: str, method: str, expected: str
) -> None:
    """C-UTIL-21."""
    names = sorted(parameter["name"] for parameter in api["paths"][path][method]["parameters"])

    assert " ".join(names) == expected


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        pytest.param("/buckets", "get", "200 304 400 401 403 406 412 default", id="reading a list"),
        pytest.param("/buckets", "post", "200 201 400 401 403 406 412 415 default", id="creating"),
        pytest.param("/buckets", "delete", "200 400 401 403 406 412 default", id="deleting a list"),
        pytest.param("/buckets/{id}", "get", "200 304 400 401 403 404 406 412 default", id="reading an object"),
        pytest.param("/buckets/{id}", "put", "200 201 400 401 403 406 412 415 default", id="replacing an object"),
        pytest.param("/buckets/{id}", "patch", "200 400 401 403 404 406 412 415 default", id="changing an object"),
        pytest.param("/buckets/{id}", "delete", "200 400 401 403 404 406 412 default", id="deleting an object"),
    ],
)
def test_operation_has_the_responses_that_it_may_give(
    api: dict[str, Any], path: str, method: str, expected: str
) -> None:
    """C-UTIL-21."""
    assert " ".join(sorted(api["paths"][path][method]["responses"])) == expected


def test_bodies_are_described_by_data_and_permissions(api: dict[str, Any]) -> None:
    body = api["definitions"]["Collection"]

    assert body["properties"]["data"] == {"type": "object"}
    assert list(body["properties"]["permissions"]["properties"]) == ["read", "write", "record:create"]


def test_patch_consumes_merge_patches_too(api: dict[str, Any]) -> None:
    consumed = api["paths"]["/buckets/{id}"]["patch"]["consumes"]

    assert consumed[:2] == ["application/json", "application/merge-patch+json"]


def test_document_has_the_kinds_of_plugins(client: Client) -> None:
    service: Service = client.app.extensions["kinto"]
    service.add_kind(
        Kind("note", "notes", ("read", "write"), ids.load_generator("kinto.core.storage.generators.UUID4"))
    )

    api = document(service, "http://localhost")

    assert api["tags"][-1] == {"name": "Notes"}
    assert api["paths"]["/notes/{id}"]["get"]["operationId"] == "get_note"


@pytest.mark.parametrize(
    ("name", "thing"), [("error", "definition 'Error'"), ("requests", "definition 'Requests'"), ("utilitie", "tag")]
)
def test_a_kind_with_a_name_of_the_document_prevents_the_start(client: Client, name: str, thing: str) -> None:
    service: Service = client.app.extensions["kinto"]
    service.add_kind(Kind(name, "things", ("read", "write"), ids.NameGenerator()))

    with pytest.raises(SettingError, match=f"^includes: the kind '{name}' adds the {thing}"):
        expect_distinct_names(service)


@pytest.mark.parametrize("path", ["/batch", "/buckets/{id}", "/__api__"])
def test_a_url_that_the_document_has_prevents_the_start(client: Client, path: str) -> None:
    service: Service = client.app.extensions["kinto"]
    service.add_openapi(path, {"get": {"summary": "x"}, "post": {"summary": "x"}})

    with pytest.raises(SettingError, match=f"^includes: .* adds the operation '[a-z]+ {re.escape(path)}'"):
        expect_distinct_names(service)


def test_operations_have_distinct_ids(client: Client) -> None:
    """Swagger 2.0: they are unique. The list of the kind `star` and the objects of `stars` would have the same."""
    service: Service = client.app.extensions["kinto"]
    for kind in ("star", "stars"):
        service.add_kind(Kind(kind, f"{kind}-list", ("read", "write"), ids.NameGenerator()))
    service.add_openapi("/x", {"get": {"operationId": "get_buckets"}, "post": {}})

    api = document(service, "http://localhost")

    found = [operation.get("operationId") for _, _, operation in operations(api)]
    assert len(set(found)) == len(found)
    schemathesis.openapi.from_dict(api).validate()


@pytest.mark.parametrize(
    ("path", "described"), [("x", {"get": {}}), ("/x", {"GET": {}}), ("/x", {"fetch": {}})], ids=str
)
def test_a_description_that_no_document_can_have_is_refused(
    client: Client, path: str, described: dict[str, Any]
) -> None:
    service: Service = client.app.extensions["kinto"]

    with pytest.raises(ValueError, match=f"^The OpenAPI path '{path}' has"):
        service.add_openapi(path, described)


def test_policy_describes_itself_when_it_can(client: Client) -> None:
    service: Service = client.app.extensions["kinto"]
    service.authenticator.policies[:] = [_Described()]

    api = document(service, "http://localhost")

    assert api["securityDefinitions"] == {
        "google": {"type": "oauth2", "authorizationUrl": "https://id.example.org/auth"}
    }


class _Described:
    """A policy with a description of its own."""

    name = "google"

    def identify(self, authorization: str, read: Any) -> str | None:
        """Know nobody."""
        return None

    def challenge(self) -> str | None:
        """Ask for a token."""
        return "Bearer"

    def security_definition(self) -> dict[str, Any]:
        """Return how OpenAPI describes the policy."""
        return {"type": "oauth2", "authorizationUrl": "https://id.example.org/auth"}
