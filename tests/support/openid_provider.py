"""A provider of OpenID Connect on loopback: Authlib's authorisation server, with keys, users and clients in memory."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oidc.core import UserInfoEndpoint
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, Response, request
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.jws import JWSRegistry
from werkzeug.serving import BaseWSGIServer, make_server

CLIENT_ID = "kinto"
CLIENT_SECRET = "c1i3nt"
AUDIENCE = "https://kinto.example"

_GATE_SECONDS = 30.0

User = Mapping[str, Any]


@cache
def first_key() -> RSAKey:
    """Return the key of every provider until it rotates: a new one takes long."""
    return RSAKey.generate_key(parameters={"kid": "first", "use": "sig"})


@dataclass
class Client:
    """A client that the provider knows."""

    client_id: str
    secret: str
    client_metadata: Mapping[str, str] = field(default_factory=dict)

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri.endswith("/token")

    def check_client_secret(self, secret: str) -> bool:
        return secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_post"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code:
    """A code that was given out and not traded yet."""

    client: Client
    user: User
    redirect_uri: str
    scope: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> None:
        return None

    get_auth_time = get_acr = get_amr = get_nonce


@dataclass
class Token:
    """An access token that was given out."""

    client: Client
    user: Any
    scope: str = "openid email profile"

    def get_client(self) -> Client:
        return self.client

    def get_user(self) -> Any:
        return self.user

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return False

    is_revoked = is_expired


class Provider:
    """A provider; `user` is logged in there.

    `requests` has the path of each request that arrived. While the `gate` is closed, no request is answered; `answers`
    has replacements of the answers at some paths, as JSON or as bytes.
    """

    def __init__(self, port: int = 0) -> None:
        self.user: Any = {"sub": "alice", "email": "alice@example.com", "name": "Alice"}
        self.tokens: dict[str, Token] = {}
        self.codes: dict[str, Code] = {}
        self.clients = {CLIENT_ID: Client(CLIENT_ID, CLIENT_SECRET)}
        self.keys: list[RSAKey | ECKey] = [first_key()]
        self.algorithms: list[str] | None = ["none", "HS256", "RS256", "ES256"]
        self.requests: list[str] = []
        self.authorizations: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.answers: dict[str, Any] = {}
        self.gate = threading.Event()
        self.gate.set()
        self._app = self._make_app()
        self._server: BaseWSGIServer = make_server("127.0.0.1", port, self._serve, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def paths(self) -> list[str]:
        """Return the last segment of each path that was asked for."""
        return [path.rpartition("/")[2] for path in self.requests]

    def stop(self) -> None:
        """Refuse connections from now on."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()

    def rotate(self, key: RSAKey | ECKey | None = None) -> None:
        """Sign with another key from now on."""
        self.keys = [key or RSAKey.generate_key(parameters={"kid": secrets.token_hex(4), "use": "sig"})]

    def issue(self, user: Any = None, client_id: str = CLIENT_ID) -> str:
        """Give out an opaque access token."""
        token = secrets.token_urlsafe(16)
        self.tokens[token] = Token(Client(client_id, ""), self.user if user is None else user)
        return token

    def sign(
        self, key: Any = None, header: Mapping[str, Any] | None = None, claims: Mapping[str, Any] | None = None
    ) -> str:
        """Give out a JWT as access token; claims that are None are left out."""
        key = key or self.keys[0]
        algorithm = {"RSA": "RS256", "EC": "ES256", "oct": "HS256"}[key.key_type]
        protected = {"alg": algorithm, "kid": self.keys[0].kid, **(header or {})}
        protected = {name: value for name, value in protected.items() if value is not None}
        now = int(time.time())
        whole = {"iss": self.url, "aud": AUDIENCE, "sub": self.user["sub"], "iat": now, "exp": now + 3600}
        whole = {name: value for name, value in {**whole, **(claims or {})}.items() if value is not None}
        registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        token = jwt.encode(protected, whole, key, registry=registry)
        self.tokens[token] = Token(self.clients[CLIENT_ID], self.user)
        return token

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.requests.append(environ["PATH_INFO"])
        self.authorizations.append(environ.get("HTTP_AUTHORIZATION", ""))
        self.gate.wait(_GATE_SECONDS)
        # OAuth demands HTTPS; here it would protect nothing.
        return self._app({**environ, "wsgi.url_scheme": "https"}, start_response)

    def _make_app(self) -> Flask:
        app = Flask("provider", static_folder=None)
        app.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = lambda client, grant_type, user, scope: self.issue(user)
        server = AuthorizationServer(app, self.clients.get, lambda token, request: None)
        server.register_grant(_grant_of(self), [_id_tokens_of(self)])
        protector = ResourceProtector()
        protector.register_token_validator(_validator_of(self))
        server.register_endpoint(_user_info_of(self)(resource_protector=protector))
        views: Mapping[str, Callable[[], Any]] = {
            "/.well-known/openid-configuration": lambda: json.dumps(self.describe()),
            "/authorize": lambda: server.create_authorization_response(
                grant_user=self.user, grant=server.get_consent_grant(end_user=self.user)
            ),
            "/token": server.create_token_response,
            "/userinfo": lambda: server.create_endpoint_response("userinfo"),
            "/jwks": lambda: json.dumps(KeySet(list(self.keys)).as_dict(private=False)),
        }
        for path, view in views.items():
            app.add_url_rule(path, path.strip("/."), self._replaceable(path, view), methods=["GET", "POST"])
        return app

    def _replaceable(self, path: str, view: Callable[[], Any]) -> Callable[[], Any]:
        def answer() -> Any:
            if request.form:
                self.forms.append(request.form.to_dict())
            if path not in self.answers:
                return view()
            replaced = self.answers[path]
            return replaced if isinstance(replaced, bytes | Response | tuple) else json.dumps(replaced)

        return answer

    def describe(self) -> dict[str, Any]:
        """Return the description that the provider publishes of itself."""
        description: dict[str, Any] = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/jwks",
        }
        if self.algorithms is not None:
            description["id_token_signing_alg_values_supported"] = self.algorithms
        return description


def _grant_of(provider: Provider) -> type:
    class Grant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_post",)

        def save_authorization_code(self, code: str, request: Any) -> None:
            payload = request.payload
            provider.codes[code] = Code(request.client, request.user, payload.redirect_uri, payload.scope)

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            return provider.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            provider.codes = {text: code for text, code in provider.codes.items() if code is not authorization_code}

        def authenticate_user(self, authorization_code: Code) -> User:
            return authorization_code.user

    return Grant


def _id_tokens_of(provider: Provider) -> Any:
    class IdTokens(OpenIDCode):  # type: ignore[misc]  # Authlib has no types
        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return False

        def resolve_client_private_key(self, client: Client) -> Any:
            return provider.keys[0]

        def get_client_claims(self, client: Client) -> dict[str, str]:
            return {"iss": provider.url, "aud": client.client_id}

        def generate_user_info(self, user: User, scope: str) -> User:
            return user

    return IdTokens()


def _validator_of(provider: Provider) -> Any:
    class Validator(BearerTokenValidator):  # type: ignore[misc]  # Authlib has no types
        def authenticate_token(self, token_string: str) -> Token | None:
            return provider.tokens.get(token_string)

    return Validator()


def _user_info_of(provider: Provider) -> Any:
    class UserInfo(UserInfoEndpoint):  # type: ignore[misc]  # Authlib has no types
        def generate_user_info(self, user: Any, scope: str) -> Any:
            return user

    return UserInfo


@contextlib.contextmanager
def openid_provider(port: int = 0) -> Iterator[Provider]:
    """Run a provider until the block ends."""
    provider = Provider(port)
    try:
        yield provider
    finally:
        provider.stop()
