"""Services that trust providers of OpenID Connect, and the browsers of people who log in there."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import urllib3

from app.service import Service
from blueprints.plugins.openid.policy import OpenIDConnectPolicy
from blueprints.plugins.openid.provider import Provider as TrustedProvider
from tests.support.client import Answer, Client
from tests.support.credentials import SECRET
from tests.support.databases import new_app, sqlite_url
from tests.support.openid_provider import CLIENT_ID, CLIENT_SECRET, Provider

USE = "kinto.plugins.openid.OpenIDConnectPolicy"
CALLBACK = "http://localhost:3000/#tokens="

MakeService = Callable[..., Client]


@contextlib.contextmanager
def services() -> Iterator[MakeService]:
    """Give a function that makes anonymous clients of services with the plugin openid and the policies of its settings.

    Nothing of it depends on the database.
    """
    clients: list[Client] = []

    def make(*settings: Mapping[str, Any]) -> Client:
        merged = {name: value for group in settings for name, value in group.items()}
        names = dict.fromkeys(name.split(".")[2] for name in merged if name.startswith("multiauth.policy."))
        base = {
            "kinto.includes": "kinto.plugins.openid",
            "kinto.userid_hmac_secret": SECRET,
            "multiauth.policies": " ".join(names),
        }
        clients.append(Client(new_app(sqlite_url(), {**base, **merged}), None))
        return clients[-1]

    try:
        yield make
    finally:
        for client in clients:
            service_of(client).close()


def policy(provider: Provider, name: str = "google", **options: Any) -> dict[str, Any]:
    """Return the settings of a policy."""
    chosen = {"use": USE, "issuer": provider.url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **options}
    return {f"multiauth.policy.{name}.{option}": value for option, value in chosen.items() if value is not None}


def service_of(client: Client) -> Service:
    """Return the service of a client."""
    service: Service = client.app.extensions["kinto"]
    return service


def trusted_provider(client: Client) -> TrustedProvider:
    """Return the provider of the only policy of a service."""
    (google,) = service_of(client).authenticator.policies
    assert isinstance(google, OpenIDConnectPolicy)
    return google.provider


def user_of(client: Client, token: str, scheme: str = "Bearer") -> Any:
    """Return the user whom the service takes the sender of a token for, None if anonymous."""
    return client.get("/", authorization=f"{scheme} {token}").json.get("user", {}).get("id")


class Browser:
    """A browser, which keeps the cookies of the service and follows its user through a login."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> Answer:
        """Ask the service."""
        cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        answer = self._client.get(path, **{**(cookie if self.cookies else {}), **headers})
        for header in answer.headers.getlist("Set-Cookie"):
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def begin(self, name: str = "google", **query: Any) -> Answer:
        """Ask for a login."""
        return self.get(login_path(name, **query))

    def consent(self, login: Answer) -> str:
        """Log in at the provider; return the path with the query to which it leads the browser back."""
        assert login.status == 307, login.body
        answer = urllib3.request("GET", login.headers["Location"], redirect=False)
        assert answer.status == 302, answer.data
        parts = urlsplit(answer.headers["Location"])
        return f"{parts.path}?{parts.query}"

    def log_in(self, name: str = "google", **query: Any) -> Answer:
        """Log in; return the last answer of the service."""
        return self.get(self.consent(self.begin(name, **query)))


def login_path(name: str = "google", **query: Any) -> str:
    """Return the path of a login; parameters that are None are left out."""
    chosen: Mapping[str, Any] = {"callback": CALLBACK, "scope": "openid email", **query}
    text = urlencode({parameter: value for parameter, value in chosen.items() if value is not None})
    return f"/openid/{name}/login?{text}"


def state_of(login: Answer) -> str:
    """Return the state of a login."""
    return parse_qs(urlsplit(login.headers["Location"]).query)["state"][0]


def tokens_of(answer: Answer, callback: str = CALLBACK) -> Any:
    """Return what the page at the callback receives."""
    assert answer.status == 307, answer.body
    location = answer.headers["Location"]
    assert location.startswith(callback)
    return json.loads(base64.b64decode(unquote(location.removeprefix(callback))))
