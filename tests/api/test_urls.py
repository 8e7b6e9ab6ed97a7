"""URLs: prefix, redirects, unknown paths, methods, encodings, and the addresses that the service writes (section 1)."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app.settings import SettingError
from backends import Json
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client, basic

pytestmark = on_sqlite

PLURAL = "GET, HEAD, POST, DELETE, OPTIONS"
OBJECT = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
UTILITY = "GET, HEAD, OPTIONS"
ENDPOINTS = {
    "/": UTILITY,
    "/__heartbeat__": UTILITY,
    "/__lbheartbeat__": UTILITY,
    "/__version__": UTILITY,
    "/contribute.json": UTILITY,
    "/__api__": UTILITY,
    "/batch": "POST, OPTIONS",
    "/buckets": PLURAL,
    "/buckets/b": OBJECT,
    "/buckets/b/collections": PLURAL,
    "/buckets/b/collections/c": OBJECT,
    "/buckets/b/groups": PLURAL,
    "/buckets/b/groups/g": OBJECT,
    "/buckets/b/collections/c/records": PLURAL,
    "/buckets/b/collections/c/records/r": OBJECT,
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO")


def send(client: Client, method: str, target: str, **headers: str) -> Answer:
    """Send a request to exactly this target, byte for byte as a server hands it on."""
    return send_in({}, client, method, target, **headers)


def send_to(client: Client, host: str, method: str, target: str) -> Answer:
    """Send a request to exactly this host, byte for byte as a server hands it on."""
    return send_in({"HTTP_HOST": host}, client, method, target)


def send_in(environ: dict[str, str | None], client: Client, method: str, target: str, **headers: str) -> Answer:
    """Send a request with this environment; None removes a variable."""
    path, _, query = target.partition("?")
    path_info = unquote_to_bytes(path).decode("latin-1")
    variables = EnvironBuilder("/", method=method, headers=Headers(headers)).get_environ()
    variables |= {"PATH_INFO": path_info, "QUERY_STRING": query, **environ}
    passed = {name: value for name, value in variables.items() if value is not None}
    body, status, sent = run_wsgi_app(client.app, passed)
    return Answer(int(status[:3]), sent, b"".join(body))


def error(answer: Answer) -> tuple[int, int]:
    return answer.status, answer.json["errno"]


@pytest.mark.parametrize(
    ("version", "prefix"), [("1.23", "/v1"), ("2.0", "/v2"), ("12.1", "/v12")], ids=["by default", "of 2.0", "of 12.1"]
)
def test_all_endpoints_are_under_the_major_version(client_with: ClientMaker, version: str, prefix: str) -> None:
    """C-URL-1."""
    client = client_with({"kinto.http_api_version": version})

    refused = {path for path in ENDPOINTS if send(client, "TRACE", prefix + path).status == 405}

    assert refused == set(ENDPOINTS)
    assert send(client, "GET", f"{prefix}/").json["url"] == f"http://localhost{prefix}/"
    assert error(send(client, "GET", "/v3/")) == (404, 116)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("target", "location"),
    [
        pytest.param("/buckets/b", "/v1/buckets/b", id="C-URL-2 a path without version"),
        pytest.param("/", "/v1/", id="C-URL-2 the root"),
        pytest.param("/buckets/%C3%A9%20x", "/v1/buckets/%C3%A9%20x", id="C-URL-2 an encoded path"),
        pytest.param("/buckets?b=&a=1&a=%20+%2B&x", "/v1/buckets?b=&a=1&a=%20+%2B&x", id="C-URL-3 the query untouched"),
        pytest.param("/version", "/v1/version", id="C-URL-10 a word with v"),
        pytest.param("/V1/x", "/v1/V1/x", id="C-URL-10 a capital V"),
        pytest.param("/vx", "/v1/vx", id="C-URL-10 a v without digit"),
    ],
)
def test_a_path_without_version_is_redirected_whatever_the_method(
    client: Client, target: str, location: str, method: str
) -> None:
    """C-URL-4."""
    answer = send(client, method, target)

    assert answer.status == 307
    assert answer.headers["Location"] == f"http://localhost{location}"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_options_of_a_path_without_version_is_answered_and_not_redirected(client: Client) -> None:
    """C-URL-5."""
    answer = send(client, "OPTIONS", "/buckets", Origin="https://app.test")

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


REDIRECTS = {"version_prefix": "/buckets", "trailing_slash": "/v1/buckets/"}


@pytest.mark.parametrize(
    ("redirect", "seconds", "control"),
    [
        pytest.param("version_prefix", None, None, id="C-URL-6 the version, by default not at all"),
        pytest.param("version_prefix", -1, None, id="C-URL-6 the version, not at all"),
        pytest.param("version_prefix", 60, "max-age=60", id="C-URL-6 the version, a minute"),
        pytest.param("trailing_slash", None, "max-age=3600", id="C-URL-15 the slash, by default an hour"),
        pytest.param("trailing_slash", -1, None, id="C-URL-15 the slash, not at all"),
        pytest.param("trailing_slash", 60, "max-age=60", id="C-URL-15 the slash, a minute"),
    ],
)
def test_a_redirect_may_be_kept_as_long_as_its_setting_says(
    client_with: ClientMaker, redirect: str, seconds: int | None, control: str | None
) -> None:
    client = client_with({} if seconds is None else {f"kinto.{redirect}_redirect_ttl_seconds": seconds})

    answer = send(client, "GET", REDIRECTS[redirect])

    assert answer.status == 307
    assert answer.headers.get("Cache-Control") == control
    assert ("Expires" in answer.headers) == (control is not None)
    assert "Pragma" not in answer.headers


@pytest.mark.parametrize(
    "redirect", ["version_prefix", "trailing_slash"], ids=["C-URL-6 the version", "C-URL-15 the slash"]
)
def test_a_redirect_may_not_be_kept_when_its_setting_is_0(client_with: ClientMaker, redirect: str) -> None:
    answer = send(client_with({f"kinto.{redirect}_redirect_ttl_seconds": 0}), "GET", REDIRECTS[redirect])

    directives = set(answer.headers["Cache-Control"].split(", "))
    assert directives == {"max-age=0", "must-revalidate", "no-cache", "no-store"}
    assert answer.headers["Pragma"] == "no-cache"
    assert parsedate_to_datetime(answer.headers["Expires"]).year > 2000


@pytest.mark.parametrize(
    ("setting", "target", "errno"),
    [
        pytest.param("version_prefix_redirect_enabled", "/buckets", 116, id="C-URL-7 the version"),
        pytest.param("trailing_slash_redirect_enabled", "/v1/buckets/", 111, id="C-URL-16 the slash"),
        pytest.param("trailing_slash_redirect_enabled", "/v1", 111, id="C-URL-16 the bare prefix"),
    ],
)
def test_a_redirect_that_is_switched_off_is_not_found(
    client_with: ClientMaker, setting: str, target: str, errno: int
) -> None:
    answer = send(client_with({f"kinto.{setting}": "false"}), "GET", target)

    assert error(answer) == (404, errno)
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("target", "location"),
    [
        pytest.param("/v1/buckets/", "/v1/buckets", id="C-URL-12 a slash"),
        pytest.param("/v1/buckets///?_limit=3&x=", "/v1/buckets?_limit=3&x=", id="C-URL-12 slashes and a query"),
        pytest.param("/v1/nothing/", "/v1/nothing", id="C-URL-13 where there is nothing either"),
        pytest.param("/v1", "/v1/", id="C-URL-14 the bare prefix"),
        pytest.param("/v1?x=1", "/v1/?x=1", id="C-URL-14 the bare prefix with a query"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_path_with_slashes_at_its_end_is_redirected(client: Client, method: str, target: str, location: str) -> None:
    answer = send(client, method, target)

    assert (answer.status, answer.headers["Location"]) == (307, f"http://localhost{location}")
    assert error(send(client, "GET", "/v1/nothing")) == (404, 111)


OTHER_VERSION = "The requested API version is not available on this server."
NO_SUCH_URL = "The resource you are looking for could not be found."


@pytest.mark.parametrize(
    ("target", "errno", "message"),
    [
        pytest.param("/v0/buckets", 116, OTHER_VERSION, id="C-URL-8 version 0"),
        pytest.param("/v2/", 116, OTHER_VERSION, id="C-URL-8 version 2"),
        pytest.param("/v99/buckets/", 116, OTHER_VERSION, id="C-URL-8 version 99"),
        pytest.param("/v1x", 111, NO_SUCH_URL, id="C-URL-9 a text that begins like the prefix"),
        pytest.param("/v11", 111, NO_SUCH_URL, id="C-URL-9 a number that begins like the prefix"),
        pytest.param("/v11/buckets", 111, NO_SUCH_URL, id="C-URL-9 a path under such a number"),
        pytest.param("/x%0D%0ASet-Cookie:%20a=b", 116, OTHER_VERSION, id="C-URL-11 a line break"),
        pytest.param("/x%0Dy", 116, OTHER_VERSION, id="C-URL-11 a carriage return"),
        pytest.param("/x%0Ay", 116, OTHER_VERSION, id="C-URL-11 a line feed"),
        pytest.param("/v1/unknown", 111, NO_SUCH_URL, id="C-URL-17 an unknown path"),
        pytest.param("/v1/buckets/b/unknown", 111, NO_SUCH_URL, id="C-URL-17 an unknown path in a bucket"),
        pytest.param("/v1//buckets", 111, NO_SUCH_URL, id="C-URL-18 two slashes"),
        pytest.param("/v1/buckets//b", 111, NO_SUCH_URL, id="C-URL-18 two slashes inside"),
        pytest.param("/v1/buckets;x=1", 111, NO_SUCH_URL, id="C-URL-18 path parameters"),
        pytest.param("/v1/Buckets", 111, NO_SUCH_URL, id="C-URL-18 another letter case"),
        pytest.param("/v1/buckets/a%2Fb", 111, NO_SUCH_URL, id="C-URL-18 an encoded slash in an id"),
    ],
)
def test_an_unknown_path_is_not_found_and_not_redirected(client: Client, target: str, errno: int, message: str) -> None:
    answer = send(client, "GET", target, Origin="https://app.test")

    assert answer.status == 404
    assert answer.json == {"code": 404, "errno": errno, "error": "Not Found", "message": message}
    assert "Location" not in answer.headers
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_method_that_an_endpoint_lacks_is_refused_with_those_it_has(client: Client, path: str) -> None:
    """C-URL-19, C-URL-20, and for verbs that nobody has C-URL-21: without credentials, whatever is accepted."""
    allowed = set(ENDPOINTS[path].split(", "))

    lacking = [method for method in METHODS if method not in allowed]
    answers = [send(client, method, f"/v1{path}", Accept="text/html") for method in lacking]

    assert {error(answer) for answer in answers} == {(405, 115)}
    assert {answer.json["message"] for answer in answers} == {"Method not allowed on this endpoint."}
    assert all(set(answer.headers["Allow"].split(", ")) == allowed for answer in answers)


@pytest.mark.parametrize(
    ("setting", "method", "path", "left"),
    [
        ("plural_bucket_post_enabled", "POST", "/buckets", PLURAL.replace("POST, ", "")),
        ("plural_record_delete_enabled", "DELETE", "/buckets/b/collections/c/records", PLURAL.replace("DELETE, ", "")),
        ("object_bucket_put_enabled", "PUT", "/buckets/b", OBJECT.replace("PUT, ", "")),
        ("object_group_patch_enabled", "PATCH", "/buckets/b/groups/g", OBJECT.replace("PATCH, ", "")),
        ("object_collection_delete_enabled", "DELETE", "/buckets/b/collections/c", OBJECT.replace("DELETE, ", "")),
    ],
    ids=lambda value: value if value.endswith("_enabled") else "",
)
def test_a_method_that_a_setting_switches_off_is_refused(
    client_with: ClientMaker, setting: str, method: str, path: str, left: str
) -> None:
    """C-URL-22."""
    client = client_with({f"kinto.{setting}": "false"})

    answer = client.ask(method, path)

    assert error(answer) == (405, 115)
    assert set(answer.headers["Allow"].split(", ")) == set(left.split(", "))
    assert client.get(path).status != 405


@pytest.mark.parametrize("path", [path for path, allow in ENDPOINTS.items() if "HEAD" in allow])
def test_head_is_answered_as_get_without_a_body(client: Client, path: str) -> None:
    """C-URL-23, and for the utilities C-UTIL-23."""
    for uri in ("/buckets/b", "/buckets/b/collections/c", "/buckets/b/groups/g", "/buckets/b/collections/c/records/r"):
        client.put(uri)

    got, head = client.get(path, x_request_id="same"), client.head(path, x_request_id="same")

    assert (head.status, head.body) == (got.status, b"")
    of_lists = {"Total-Objects", "Total-Records", "Content-Length", "Access-Control-Expose-Headers", "Expires"}
    assert {name: value for name, value in head.headers.items() if name not in of_lists} == {
        name: value for name, value in got.headers.items() if name not in of_lists
    }


@pytest.mark.parametrize("path", ["/v1/buckets/%FF", "/v1/buckets/%EF%BF%BD"], ids=["as sent", "as servers mend it"])
def test_a_path_that_is_not_utf8_is_refused(client: Client, path: str) -> None:
    """C-URL-24."""
    answer = send(client, "GET", path)

    assert answer.json == {"code": 400, "errno": 107, "error": "Bad Request", "message": "Invalid URL path."}


@pytest.mark.parametrize("target", ["/v1/buckets?x=%FF", "/v1/?%FF", "/v1/buckets/b?_fields=%C3%28"])
def test_a_query_that_is_not_utf8_is_refused(client: Client, target: str) -> None:
    """C-URL-25."""
    answer = send(client, "GET", target)

    assert (*error(answer), answer.json["error"]) == (400, 107, "Bad Request")
    assert answer.json["message"].startswith("A request with an incorrect encoding in the querystring")
    assert answer.json["message"].endswith(target.partition("?")[2])


@pytest.mark.parametrize(
    ("settings", "host", "written"),
    [
        pytest.param({}, "kinto.test", "http://kinto.test", id="C-URL-26 of the request"),
        pytest.param({}, "kinto.test:8080", "http://kinto.test:8080", id="C-URL-26 with its port"),
        pytest.param({}, "kinto.test:80", "http://kinto.test", id="C-URL-27 without the default port"),
        pytest.param({"kinto.http_scheme": "https"}, "kinto.test", "https://kinto.test", id="C-URL-26 a set scheme"),
        pytest.param({"kinto.http_host": "a.test:81"}, "kinto.test", "http://a.test:81", id="C-URL-26 a set host"),
        pytest.param(
            {"kinto.http_scheme": "https", "kinto.http_host": "a.test"},
            "kinto.test:8080",
            "https://a.test",
            id="C-URL-26 a set scheme and host",
        ),
        pytest.param(
            {"kinto.http_scheme": "https"}, "a.test:443", "https://a.test", id="C-URL-27 without that of a set scheme"
        ),
        pytest.param(
            {"kinto.http_scheme": "https", "kinto.http_host": "cdn.example:443"},
            "a.test",
            "https://cdn.example",
            id="C-URL-27 without that of a set scheme in a set host",
        ),
        pytest.param(
            {"kinto.http_host": "cdn.example:80"}, "a.test", "http://cdn.example", id="C-URL-27 of a set host"
        ),
        pytest.param({"kinto.http_host": "[::1]:80"}, "a.test", "http://[::1]", id="C-URL-27 of a set address"),
        pytest.param({"kinto.http_host": "cdn.example:443"}, "a.test", "http://cdn.example:443", id="another port"),
    ],
)
def test_urls_are_written_with_the_scheme_and_host_of_the_request_unless_set(
    client_with: ClientMaker, settings: dict[str, Any], host: str, written: str
) -> None:
    # The OpenAPI document keeps the host of the first request.
    client = client_with({**settings, "kinto.experimental_permissions_endpoint": True}, kept=False)
    for bucket in ("a", "b"):
        client.put(f"/buckets/{bucket}")
    members: list[Json] = [{"path": "/buckets?_limit=1"}, {"path": "/permissions?_limit=1"}, {"path": "/"}]
    members += [{**member, "headers": {"Host": "member.test"}} for member in members]
    batched = client.ask("POST", "/batch", {"requests": members}, {"Host": host})

    page = client.ask("GET", "/buckets?_limit=1", headers={"Host": host})

    assert send(client, "GET", "/buckets", Host=host).headers["Location"] == f"{written}/v1/buckets"
    assert send(client, "GET", "/v1/buckets/", Host=host).headers["Location"] == f"{written}/v1/buckets"
    assert send(client, "GET", "/v1/", Host=host, Authorization=basic("alice")).json["url"] == f"{written}/v1/"
    assert page.headers["Next-Page"].startswith(f"{written}/v1/buckets?")
    assert send(client, "GET", "/v1/__api__", Host=host).json["host"] == written.partition("://")[2]
    lists, permissions, hello = batched.json["responses"][:3]
    assert lists["headers"]["Next-Page"].startswith(f"{written}/v1/buckets?")
    assert permissions["headers"]["Next-Page"].startswith(f"{written}/v1/permissions?")
    assert hello["body"]["url"] == f"{written}/v1/"
    assert [answer["body"].get("url") for answer in batched.json["responses"][3:]] == [None, None, f"{written}/v1/"]


HOSTS = (
    "a_b", "my_stack_kinto:8888", "_", "kinto", "KINTO.Example", "kinto.example.", "kinto.example.:8080", "127.0.0.1:1",
    "[::1]", "[::1]:65535", "[2001:DB8::1]:8080", "[::ffff:127.0.0.1]", "xn--bcher-kva.example", "a--b", "-a-",
    f"{'x' * 63}.example", ".".join(["x" * 63] * 3 + ["x" * 62]), "1", "localhost:8888",
)  # fmt: skip
NO_HOSTS = (
    "", " ", ":80", ".", "..", ".a", "a..b", "a@b", "user:password@b", "a b", "a\tb", "a,b", "a, b", "a'b", 'a"b',
    "<script>", "a/b", "a?b", "a#b", "a\\b", "a%41b", "a%2Fb", "a|b", "a;b", "a&b", "a=b", "a*b", "(a)", "{a}", "a^b",
    "b\u00fccher.example", "b\u00c3\u00bccher.example", "a:0", "a:65536", "a:99999", "a:123456", "a:-1", "a:+1", "a:b",
    "a:1:2", "a:\u0661", "[::1", "::1", "[]", "[zz]", "[::1]x", "[::1]:", "[::1]:0", "[1::2::3]", "[127.0.0.1]",
    "[fe80::1%25eth0]", "[v1.a]", "x" * 64, "x" * 300, ".".join(["x" * 60] * 5), "http://a", "a\x7f", "a\x00",
)  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_what_can_be_a_host_is_used_as_it_is(client_with: ClientMaker, host: str) -> None:
    client = client_with()

    assert send(client, "GET", "/v1/", Host=host).json["url"] == f"http://{host}/v1/"
    assert send(client, "GET", "/x", Host=host).headers["Location"] == f"http://{host}/v1/x"
    assert send(client, "OPTIONS", "/x", Host=host).status == 200


@pytest.mark.parametrize("host", [host for host in NO_HOSTS if host != "[::1]:"])
@pytest.mark.parametrize("settings", [{}, {"kinto.http_host": "cdn.example"}], ids=["host of requests", "a set host"])
def test_what_cannot_be_a_host_is_refused_and_never_kept(
    client_with: ClientMaker, settings: dict[str, Any], host: str
) -> None:
    client = client_with(settings)

    for method, target in (
        ("GET", "/v1/"),
        ("GET", "/x"),
        ("POST", "/v1/batch"),
        ("OPTIONS", "/v1/"),
        ("GET", "/v1/__api__"),
    ):
        answer = send_to(client, host, method, target)

        assert (*error(answer), answer.json["message"]) == (400, 107, "Invalid Host header.")
        assert "Location" not in answer.headers
    assert send(client, "GET", "/v1/__api__").json["host"] == settings.get("kinto.http_host", "localhost")


@pytest.mark.parametrize("host", [host for host in NO_HOSTS if host != "[::1]:"])
def test_the_set_host_is_checked_at_the_start(client_with: ClientMaker, host: str) -> None:
    if host:
        with pytest.raises(SettingError, match=r"^http_host: "):
            client_with({"kinto.http_host": host})


@pytest.mark.parametrize(
    ("environ", "written"),
    [
        pytest.param({"HTTP_HOST": None}, "http://server.test:8080", id="HTTP/1.0 without the header"),
        pytest.param(
            {"HTTP_HOST": "", "SERVER_PROTOCOL": "HTTP/1.0"}, "http://server.test:8080", id="as proxies pass it"
        ),
        pytest.param({"HTTP_HOST": None, "SERVER_PORT": "80"}, "http://server.test", id="the default port"),
        pytest.param({"HTTP_HOST": None, "SERVER_NAME": "::1"}, "http://[::1]:8080", id="an IPv6 address"),
        pytest.param(
            {"HTTP_HOST": None, "SERVER_NAME": "/run/kinto.sock", "SERVER_PORT": ""},
            "http://localhost",
            id="a Unix socket",
        ),
        pytest.param({"HTTP_HOST": "a.test:"}, "http://a.test", id="an empty port is none"),
    ],
)
def test_without_a_host_urls_have_the_name_of_the_server(
    client: Client, environ: dict[str, str | None], written: str
) -> None:
    answer = send_in({"SERVER_NAME": "server.test", "SERVER_PORT": "8080", **environ}, client, "GET", "/v1/")

    assert answer.json["url"] == f"{written}/v1/"


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("//v1/", "/v1//v1/"),
        ("///v1/__heartbeat__", "/v1///v1/__heartbeat__"),
        ("/%2Fv1/__flush__", "/v1//v1/__flush__"),
        ("%2F%2Fv1/buckets", "/v1//v1/buckets"),
        ("//v1", "/v1//v1"),
        ("//evil.example/", "/v1//evil.example/"),
        ("v1/__heartbeat__", "/v1/v1/__heartbeat__"),
        ("/./v1/", "/v1/./v1/"),
        ("/x/../v1/__flush__", "/v1/x/../v1/__flush__"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_another_spelling_of_the_prefix_is_a_path_without_version(
    client: Client, method: str, target: str, location: str
) -> None:
    answer = send(client, method, target, Host="kinto.test", Authorization=basic("alice"))

    assert (answer.status, answer.headers["Location"]) == (307, f"http://kinto.test{location}")
    assert send(client, "OPTIONS", target).status == 200
    assert (*error(send(client, method, location.rstrip("/"), Authorization=basic("alice"))),) == (404, 111)


PRIVATE = (
    "__heartbeat__",
    "__lbheartbeat__",
    "__version__",
    "__api__",
    "__flush__",
    "__metrics__",
    "__user_data__/basicauth:x",
)
SPELLINGS = (
    "/v1//{}", "/v1/./{}", "/v1/x/../{}", "/v1/%2F{}", "/v1/.%2F{}", "/v1/%00{}", "/v1/%20{}", "/v1/{};x", "/v1/ {}",
    "/v1/%255F{}", "//v1/{}", "/%2Fv1/{}", "/v1%2F%2F{}", "/v1\\{}", "/V1/{}", "/v01/{}", "/v1.0/{}", "/v1/batch/{}",
    "/v1/buckets/../{}",
)  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("private", PRIVATE)
def test_what_proxies_deny_has_no_other_spelling(client_with: ClientMaker, private: str, spelling: str) -> None:
    """Proxies deny `^/v1/__(.+)__` after decoding once (deploy/nginx)."""
    includes = "kinto.plugins.flush kinto.plugins.prometheus"
    client = client_with({"kinto.includes": includes})
    method = {"__flush__": "POST"}.get(private, "DELETE" if "user_data" in private else "GET")

    answer = send(client, method, spelling.format(private), Authorization=basic("alice"))

    assert re.match("/v1/__(.+)__", unquote(spelling.format(private))) or answer.status in (307, 400, 404)


@pytest.mark.parametrize("private", PRIVATE)
@pytest.mark.parametrize(
    "spelling",
    [
        "/v1/{}",
        "/{}",
        "/v1/{}/",
        "//{}",
        "//v1/{}",
        "/v1//{}",
        "/./{}",
        "/{}?x",
        "/%255F{}",
        "/v1%2F{}",
        "/{}%2F",
        "/v1/./{}",
    ],
)
def test_what_proxies_deny_is_not_reached_through_a_batch(
    client_with: ClientMaker, private: str, spelling: str
) -> None:
    client = client_with({"kinto.includes": "kinto.plugins.flush kinto.plugins.prometheus"})
    names = (private, private.replace("_", "%5F"), private.replace("_", "%255F"), private.replace("_", "%25255F"))
    method = {"__flush__": "POST"}.get(private, "DELETE" if "user_data" in private else "GET")
    members = [{"method": method, "path": spelling.format(name)} for name in names]

    answer = client.ask("POST", "/batch", {"requests": members})

    assert {each["status"] for each in answer.json["responses"]} <= {400, 404}
