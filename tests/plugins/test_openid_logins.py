"""Logins of browsers at OpenID providers, and attacks on them (plugins contract, 5.3 to 5.5)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest

from backends import BackendError
from tests.plugins.logins import (
    CALLBACK,
    Browser,
    MakeService,
    login_path,
    policy,
    service_of,
    services,
    state_of,
    tokens_of,
    user_of,
)
from tests.support.client import Client
from tests.support.openid_provider import AUDIENCE, CLIENT_ID, CLIENT_SECRET, Provider, openid_provider

REDIRECT_URI = "http://localhost/v1/openid/google/token"
INVALID_STATE = [{"location": "body", "name": "state", "description": "Invalid state", "errno": 105}]
EITHER = "Provide either 'state' and 'code', or 'error' and 'error_description', but not both."


@pytest.fixture
def client(provider: Provider, make_service: MakeService) -> Client:
    """Return a client of a service with two policies at one provider."""
    return make_service(policy(provider), policy(provider, "other", userid_field="email", audience=AUDIENCE))


@pytest.fixture
def browser(client: Client) -> Browser:
    """Return the browser of a person."""
    return Browser(client)


@pytest.fixture(scope="module")
def shared() -> Iterator[Client]:
    """Return such a client for tests that leave everything as it is."""
    with openid_provider() as provider, services() as make:
        yield make(policy(provider), policy(provider, "other", userid_field="email", audience=AUDIENCE))


def is_invalid_state(answer: Any) -> bool:
    """Say whether an answer refuses the state."""
    body = answer.json
    return (answer.status, body["errno"], body["message"], body["details"]) == (
        400,
        107,
        "Invalid state",
        INVALID_STATE,
    )


def test_a_login_ends_with_a_token_that_works(client: Client, browser: Browser) -> None:
    """P-OID-16."""
    tokens = tokens_of(browser.log_in())

    assert user_of(client, tokens["access_token"]) == "google:alice"
    assert tokens["id_token"]


def test_a_login_leads_to_the_provider(provider: Provider, browser: Browser) -> None:
    """P-OID-11: with these parameters in this order."""
    answer = browser.begin("other", prompt="none", foo="1", scope="openid email")

    address, _, query = answer.headers["Location"].partition("?")
    state = state_of(answer)
    assert (answer.status, address) == (307, f"{provider.url}/authorize")
    assert query == (
        f"client_id={CLIENT_ID}&response_type=code&scope=openid+email&redirect_uri="
        f"{quote('http://localhost/v1/openid/other/token', safe='')}&state={state}&prompt=none"
        f"&audience={quote(AUDIENCE, safe='')}"
    )
    assert len(bytes.fromhex(state)) == 32
    assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert "no-store" in answer.headers["Cache-Control"]


def test_parameters_that_are_not_set_are_left_out(browser: Browser) -> None:
    """P-OID-11."""
    names = [name for name, _ in parse_qsl(urlsplit(browser.begin(prompt="").headers["Location"]).query)]

    assert names == ["client_id", "response_type", "scope", "redirect_uri", "state"]


def test_an_address_of_the_provider_with_a_query_keeps_it(provider: Provider, make_service: MakeService) -> None:
    """P-OID-11 (RFC 6749, section 3.1)."""
    address = f"{provider.url}/authorize?tenant=a"
    provider.answers["/.well-known/openid-configuration"] = {**provider.describe(), "authorization_endpoint": address}

    answer = make_service(policy(provider)).get(login_path())

    assert answer.headers["Location"].startswith(f"{address}&client_id=")


def test_length_and_life_of_a_state_are_settings(provider: Provider, make_service: MakeService) -> None:
    """P-OID-11, O-CACHE-15."""
    client = make_service(policy(provider, state_length="8", state_ttl_seconds="50"), policy(provider, "other"))

    states = {name: state_of(client.get(login_path(name))) for name in ("google", "other")}

    assert {name: len(state) for name, state in states.items()} == {"google": 16, "other": 64}
    lives = {name: service_of(client).cache.ttl(f"openid:state:{state}") for name, state in states.items()}
    assert 40 < lives["google"] <= 50 < 3500 < lives["other"] <= 3600


@pytest.mark.parametrize(
    ("name", "query", "message", "details"),
    [
        ("google", {"callback": None, "scope": None}, "callback in querystring: Required",
         [("querystring", "callback", "Required"), ("querystring", "scope", "Required")]),
        ("fxa", {"callback": "x", "scope": "", "prompt": "zz"}, "callback in querystring: Must be a URL",
         [("querystring", "callback", "Must be a URL"),
          ("querystring", "prompt", "String does not match expected pattern"),
          ("path", "provider", "Unknown provider 'fxa'"), ("querystring", "scope", "Required")]),
        ("fxa", {}, "Unknown provider 'fxa'", [("path", "provider", "Unknown provider 'fxa'")]),
        *(("google", {"callback": callback}, "callback in querystring: Must be a URL",
           [("querystring", "callback", "Must be a URL")])
          for callback in ("http://ui", "foo", "mailto:a@b.c", "https://x.org/a b", "javascript://x.org/%0aalert(1)")),
        ("google", {"callback": f"https://x.org/{'a' * 2048}"},
         "callback in querystring: Longer than maximum length 2048",
         [("querystring", "callback", "Longer than maximum length 2048")]),
        *(("google", {"prompt": prompt}, "prompt in querystring: String does not match expected pattern",
           [("querystring", "prompt", "String does not match expected pattern")]) for prompt in ("login", "nonexx")),
        ("other", {"scope": "zz openid offline_access", "callback": "https://evil.com/"},
         "scope in body: Scopes not allowed: offline_access, zz",
         [("body", "scope", "Scopes not allowed: offline_access, zz")]),
        *(("other", {"scope": "openid", "callback": callback}, "Untrusted callback URL",
           [("body", "callback", "Untrusted callback URL")])
          for callback in ("https://evil.com/", "https://trusted.com@evil.com/", "http://localhost.evil.com/#",
                           "http://localhost:3000/../", "ftp://localhost/", "evil.com/", "http://user@localhost/")),
        ("other", {"scope": "openid"}, "Provider other requires 'email' scope",
         [("body", "scope", "Provider other requires 'email' scope")]),
    ],
)  # fmt: skip
def test_a_login_is_refused(
    shared: Client, name: str, query: Any, message: str, details: list[tuple[str, str, str]]
) -> None:
    """P-OID-10: in this order, in these words."""
    browser = Browser(shared)

    answer = browser.begin(name, **query)

    assert (answer.status, answer.json["errno"], answer.json["message"]) == (400, 107, message)
    named = [{"location": place, "name": field, "description": text} for place, field, text in details]
    assert answer.json["details"] == named
    assert browser.cookies == {}


def test_scopes_are_allowed_by_provider(provider: Provider, make_service: MakeService) -> None:
    """P-OID-12."""
    client = make_service(policy(provider, allowed_scopes="openid groups"), policy(provider, "other"))

    def status(name: str, scope: str) -> int:
        return client.get(login_path(name, scope=scope)).status

    assert [status("google", scope) for scope in ("openid groups", "openid profile")] == [307, 400]
    assert [status("other", scope) for scope in ("openid groups", "openid email profile")] == [400, 307]


@pytest.mark.parametrize(
    ("callback", "status"),
    [
        ("http://localhost:3000/#", 307), ("http://127.0.0.1/a?b=", 307), ("https://localhost/", 400),
        ("https://kinto.example.com/v1/admin/#/auth/abc/", 307), ("https://kinto.example.com/v1/", 400),
        ("https://kinto.example.com/v1/buckets?token=", 400), ("https://kinto.example.com/v1/administrator/", 400),
        ("http://kinto.example.com/v1/admin/", 400),
    ],
)  # fmt: skip
def test_without_a_setting_this_computer_and_the_console_are_trusted(
    provider: Provider, make_service: MakeService, callback: str, status: int
) -> None:
    """P-OID-14."""
    hosted = {"kinto.http_host": "kinto.example.com", "kinto.http_scheme": "https"}
    client = make_service(policy(provider), hosted, {"kinto.includes": "kinto.plugins.openid kinto.plugins.admin"})

    assert client.get(login_path(callback=callback)).status == status


def test_the_console_is_trusted_only_while_it_is_on_and_unless_there_is_a_setting(
    provider: Provider, make_service: MakeService
) -> None:
    """P-OID-14."""
    client = make_service(policy(provider), policy(provider, "other", trusted_callback_urls="https://x.org/*"))

    assert client.get(login_path(callback="http://localhost/v1/admin/")).status == 307  # as any page on localhost
    assert client.get(login_path(callback="https://localhost/v1/admin/")).status == 400
    assert client.get(login_path("other", callback="http://localhost/")).status == 400
    assert client.get(login_path("other", callback="https://x.org/a")).status == 307


@pytest.mark.parametrize(
    ("name", "query", "message"),
    [
        ("google", {}, "state in querystring: Required"),
        ("google", {"code": "c"}, "state in querystring: Required"),
        ("google", {"state": "ab"}, EITHER),
        ("google", {"state": "ab", "code": "c", "error": "e"}, EITHER),
        ("google", {"state": "ab", "error_description": "d"}, EITHER),
        ("fxa", {"state": "ab", "code": "c"}, "Unknown provider 'fxa'"),
        ("fxa", {}, "Unknown provider 'fxa'"),
    ],
)
def test_the_way_back_is_refused(shared: Client, name: str, query: dict[str, str], message: str) -> None:
    """P-OID-15."""
    answer = shared.get(f"/openid/{name}/token?{urlencode(query)}")

    assert (answer.status, answer.json["errno"], answer.json["message"]) == (400, 107, message)


@pytest.mark.parametrize("name", ["callback", "scope", "prompt", "state", "code", "error_description"])
def test_a_parameter_that_is_there_twice_is_refused(shared: Client, name: str) -> None:
    """P-OID-10, P-OID-15: in the words of Kinto; another program could take the other value."""
    path = (
        login_path(prompt="none") if name in ("callback", "scope", "prompt") else "/openid/google/token?state=a&code=b"
    )

    answer = shared.get(f"{path}&{name}=x&{name}=y")

    values = [value for key, value in parse_qsl(urlsplit(path).query) if key == name]
    description = f"{[*values, 'x', 'y']} is not a string: {{{name!r}: ''}}"
    assert (answer.status, answer.json["message"]) == (400, description)
    assert answer.json["details"] == [{"location": "querystring", "name": name, "description": description}]


@pytest.mark.parametrize("state", ["ab" * 32, "x", "\0", "a" * 5000, "../verify"])
def test_an_invented_state_is_refused(shared: Client, state: str) -> None:
    """P-OID-15: whatever it is made of."""
    browser = Browser(shared)
    browser.begin()

    assert is_invalid_state(browser.get(f"/openid/google/token?{urlencode({'state': state, 'code': 'c'})}"))


def test_a_state_is_used_once(provider: Provider, browser: Browser) -> None:
    """P-OID-15: a code and its state that somebody saw are of no use."""
    way_back = browser.consent(browser.begin())
    assert browser.get(way_back).status == 307

    assert is_invalid_state(browser.get(way_back))
    assert provider.paths.count("token") == 1


def test_a_state_ends(client: Client, browser: Browser) -> None:
    """P-OID-15."""
    login = browser.begin()
    way_back = browser.consent(login)

    service_of(client).cache.expire(f"openid:state:{state_of(login)}", 0)

    assert is_invalid_state(browser.get(way_back))


@pytest.mark.parametrize("has_own_login", [False, True], ids=["a browser without a login", "a browser with its own"])
def test_a_login_cannot_be_forced_on_somebody(
    provider: Provider, client: Client, browser: Browser, has_own_login: bool
) -> None:
    """P-OID-18: the state belongs to the browser that began, so nobody works in the account of an attacker."""
    attacker = Browser(client)
    provider.user = {"sub": "eve"}
    way_back = attacker.consent(attacker.begin())
    if has_own_login:
        browser.begin()

    assert is_invalid_state(browser.get(way_back))

    assert provider.paths.count("token") == 0
    assert is_invalid_state(attacker.get(way_back))


def test_a_state_belongs_to_its_provider(provider: Provider, browser: Browser) -> None:
    """P-OID-18."""
    way_back = browser.consent(browser.begin("other"))

    assert is_invalid_state(browser.get(way_back.replace("/other/", "/google/")))
    assert provider.paths.count("token") == 0


def test_two_tabs_of_a_browser_log_in_at_once(client: Client, browser: Browser) -> None:
    """P-OID-15: beginning one login does not end the other."""
    logins = [browser.begin(name) for name in ("google", "other", "google")]

    assert [browser.get(browser.consent(login)).status for login in logins] == [307] * 3
    assert len(browser.cookies) == 1


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("http", {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=3600"}),
        ("https", {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=3600", "Secure"}),
    ],
)
def test_the_cookie_is_protected_as_far_as_the_scheme_allows(
    provider: Provider, make_service: MakeService, scheme: str, expected: set[str]
) -> None:
    """P-OID-18: with HTTPS no other host of the domain can set it."""
    answer = make_service(policy(provider), {"kinto.http_scheme": scheme}).get(login_path())

    (cookie,) = answer.headers.getlist("Set-Cookie")
    value, *attributes = cookie.split("; ")
    name = value.partition("=")[0]
    assert {attribute for attribute in attributes if not attribute.startswith("Expires=")} == expected
    assert name == ("__Host-kinto-openid" if scheme == "https" else "kinto-openid")


@pytest.mark.parametrize("value", ["", "short", "x" * 64, "A" * 64])
def test_a_cookie_of_another_making_is_replaced(shared: Client, value: str) -> None:
    """P-OID-18: nobody plants a cookie that is easy to guess."""
    browser = Browser(shared)
    browser.cookies["kinto-openid"] = value

    browser.begin()

    assert browser.cookies["kinto-openid"] != value


def test_the_code_is_traded_with_all_fields(provider: Provider, browser: Browser) -> None:
    """P-OID-16: and the answer is handed over whatever it is."""
    login = browser.begin()
    provider.answers["/token"] = b'{"error": "x y/\xc3\xbc>>?"}'

    answer = browser.get(f"/openid/google/token?{urlencode({'state': state_of(login), 'code': 'c d'})}")

    encoded = quote(base64.b64encode(provider.answers["/token"]))
    assert (answer.status, answer.headers["Location"]) == (307, f"{CALLBACK}{encoded}")
    assert provider.forms == [
        {
            "code": "c d",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uri": REDIRECT_URI,
            "grant_type": "authorization_code",
        }
    ]


@pytest.mark.parametrize("status", [400, 500])
def test_an_error_document_is_handed_over(provider: Provider, browser: Browser, status: int) -> None:
    """P-OID-16."""
    provider.answers["/token"] = ('{"error": "invalid_grant"}', status)

    assert tokens_of(browser.log_in()) == {"error": "invalid_grant"}


@pytest.mark.parametrize(
    ("query", "appended"),
    [
        ({"error": "access_denied", "error_description": "a b&c"}, "error=access_denied&error_description=a+b%26c"),
        ({"error": "access_denied"}, "error=access_denied"),
        ({"error": "x", "code": ""}, "error=x"),
    ],
)
def test_an_error_of_the_provider_is_forwarded(
    provider: Provider, browser: Browser, query: dict[str, str], appended: str
) -> None:
    """P-OID-17: and the state is used up."""
    path = f"/openid/google/token?{urlencode({'state': state_of(browser.begin()), **query})}"

    answer = browser.get(path)

    assert (answer.status, answer.headers["Location"]) == (307, f"{CALLBACK}{appended}")
    assert is_invalid_state(browser.get(path))


def test_a_callback_with_other_letters_is_a_valid_header(provider: Provider, make_service: MakeService) -> None:
    """P-OID-16: HTTP knows ASCII alone."""
    browser = Browser(make_service(policy(provider)))

    answer = browser.log_in(callback="http://localhost/é?a=%20'#")

    tokens_of(answer, "http://localhost/%C3%A9?a=%20'#")


def test_a_provider_that_is_down_is_a_503(provider: Provider, browser: Browser) -> None:
    """P-OID-16."""
    way_back = browser.consent(browser.begin())

    provider.stop()

    answer = browser.get(way_back)
    assert (answer.status, answer.json["errno"], answer.headers["Retry-After"]) == (503, 201, "3")


def test_a_cache_that_is_down_is_a_503(client: Client, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """DECISIONS: an OpenID state that cannot be kept."""
    way_back = browser.consent(browser.begin())

    def fail(*_: Any) -> None:
        raise BackendError("down")

    for method in ("set", "delete"):
        monkeypatch.setattr(service_of(client).cache, method, fail)

    assert [browser.begin().status, browser.get(way_back).status] == [503, 503]


@pytest.mark.parametrize("path", [login_path(), "/openid/google/token?state=ab&code=c"])
def test_a_login_is_no_member_of_a_batch(shared: Client, path: str) -> None:
    """A batch follows no redirects, and must not wait for a provider while it holds locks."""
    requests = [{"path": path}, {"method": "PUT", "path": "/buckets/b"}]

    answer = shared.ask("POST", "/batch", {"requests": requests})

    (entry, _) = answer.json["responses"]
    assert (entry["status"], entry["body"]["errno"]) == (404, 111)


@pytest.mark.parametrize("path", [login_path(), "/openid/google/token"])
def test_other_methods_are_not_allowed(shared: Client, path: str) -> None:
    """Plugins contract, 5.5."""
    assert {shared.ask(method, path).status for method in ("POST", "PUT", "DELETE")} == {405}


def test_scripts_of_other_origins_may_read_the_errors(client: Client) -> None:
    """P-OID-11: CORS as everywhere, and credentials that are wrong do not matter."""
    answer = client.get("/openid/google/login", origin="https://x.org", authorization="Bearer x")

    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (400, "*")
