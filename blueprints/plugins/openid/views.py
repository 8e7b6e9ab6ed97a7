"""Redirect browsers that log in: to the provider, then with a token to the callback (plugins contract, 5.3, 5.5)."""

from __future__ import annotations

import base64
import string
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, request
from werkzeug.datastructures import MultiDict

from blueprints.plugins import (
    Invalid,
    Json,
    NoSuchUrl,
    Problem,
    Reply,
    Service,
    is_batch_member,
    origin_of_urls,
    prefix,
    to_response,
)
from blueprints.plugins.openid.callbacks import MAX_CHARACTERS, Url, is_trusted, looks_like_url, parse_pattern
from blueprints.plugins.openid.options import Options
from blueprints.plugins.openid.provider import Provider
from blueprints.plugins.openid.states import Login, Logins, digest_of, new_browser, read_browser, write_browser

_LOCAL: Final = tuple(map(parse_pattern, ("http://localhost:*/*", "http://127.0.0.1:*/*")))
_CODE_OR_ERROR: Final = "Provide either 'state' and 'code', or 'error' and 'error_description', but not both."
_INVALID_STATE_ERRNO: Final = 105


def _describe_operation(
    name: str, summary: str, required: Iterable[str], optional: Iterable[str]
) -> Mapping[str, Json]:
    """Return the operation of a URL for the OpenAPI document, with the names of its parameters."""
    parameters = [
        {"name": parameter, "in": "query", "type": "string", "required": is_required}
        for names, is_required in ((required, True), (optional, False))
        for parameter in names
    ]
    responses = {
        "307": {"description": "A redirect of the browser.", "headers": {"Location": {"type": "string"}}},
        "400": {"description": "The request is invalid.", "schema": {"$ref": "#/definitions/Error"}},
    }
    return {"operationId": name, "summary": summary, "parameters": parameters, "responses": responses}


_LOGIN_FIELDS: Final = ("callback", "scope", "prompt")
_TOKEN_FIELDS: Final = ("state", "code", "error", "error_description")
_OPENAPI: Final = {
    "/openid/{provider}/login": _describe_operation(
        "get_openid_login", "Begin a login at a provider.", _LOGIN_FIELDS[:2], _LOGIN_FIELDS[2:]
    ),
    "/openid/{provider}/token": _describe_operation(
        "get_openid_token", "Complete a login.", _TOKEN_FIELDS[:1], _TOKEN_FIELDS[1:]
    ),
}


class InvalidState(Invalid):
    """The state is unknown, used or expired, or belongs to another provider or browser."""

    def __init__(self) -> None:
        problem = Problem("body", "state", "Invalid state")
        super().__init__(problem)
        self.details = [
            {
                "location": problem.location,
                "name": problem.name,
                "description": problem.description,
                "errno": _INVALID_STATE_ERRNO,
            }
        ]


def urls(service: Service, providers: Mapping[str, Provider]) -> Blueprint:
    """Return the URLs of logins; *providers* are known by their names when requests arrive."""
    blueprint = Blueprint("openid", __name__, url_prefix=f"{prefix(service)}/openid")
    logins = Logins(service)

    def openid_login(provider: str) -> Response:
        _expect_browser()
        return _login(service, logins, providers.get(provider), provider)

    def openid_token(provider: str) -> Response:
        _expect_browser()
        return _token(service, logins, providers.get(provider), provider)

    for rule, view in (("/<provider>/login", openid_login), ("/<provider>/token", openid_token)):
        blueprint.add_url_rule(rule, view.__name__, view, methods=["GET"], provide_automatic_options=False)
    for path, operation in _OPENAPI.items():
        service.add_openapi(path, {"get": operation})
    return blueprint


def _expect_browser() -> None:
    """Raise NoSuchUrl for a member of a batch, which cannot follow redirects, and must not wait for a provider."""
    if is_batch_member():
        raise NoSuchUrl


def _login(service: Service, logins: Logins, provider: Provider | None, name: str) -> Response:
    """Redirect a browser to its provider. Raises Invalid (P-OID-10), BackendError."""
    query = request.args
    problems = [*(_repetitions(query, _LOGIN_FIELDS) or _login_problems(query)), *_provider_problems(provider, name)]
    if problems or provider is None:
        raise Invalid(*problems)
    options, callback, scope = provider.options, query["callback"], query["scope"]
    _expect_allowed(service, options, callback, scope)
    endpoint = provider.discover().authorization_endpoint
    browser = read_browser(service) or new_browser()
    redirect_uri = f"{origin_of_urls(service)}{prefix(service)}/openid/{quote(options.name)}/token"
    state = logins.begin(Login(options.name, digest_of(browser), callback, redirect_uri), options)
    parameters = {
        "client_id": options.client_id,
        "response_type": "code",
        "scope": scope,
        "redirect_uri": redirect_uri,
        "state": state,
        "prompt": query.get("prompt"),
        "audience": options.audience,
    }
    response = _redirect(
        f"{endpoint}{'&' if '?' in endpoint else '?'}"
        + urlencode({parameter: value for parameter, value in parameters.items() if value})
    )
    write_browser(response, service, browser, options.state_ttl_seconds)
    return response


def _repetitions(query: MultiDict[str, str], names: Iterable[str]) -> list[Problem]:
    """Return the problems of parameters that a query has more than once, which others may read in another way."""
    lists = {name: query.getlist(name) for name in names}
    return [
        Problem("querystring", name, f"{values} is not a string: {{{name!r}: ''}}")
        for name, values in lists.items()
        if len(values) > 1
    ]


def _login_problems(query: Mapping[str, str]) -> Iterator[Problem]:
    callback = query.get("callback", "")
    if not callback:
        yield Problem("querystring", "callback", "Required")
    elif len(callback) > MAX_CHARACTERS:
        yield Problem("querystring", "callback", f"Longer than maximum length {MAX_CHARACTERS}")
    elif not looks_like_url(callback):
        yield Problem("querystring", "callback", "Must be a URL")
    if not query.get("scope"):
        yield Problem("querystring", "scope", "Required")
    if query.get("prompt", "") not in ("", "none"):
        yield Problem("querystring", "prompt", "String does not match expected pattern")


def _provider_problems(provider: Provider | None, name: str) -> Iterator[Problem]:
    if provider is None:
        yield Problem("path", "provider", f"Unknown provider {name!r}")


def _expect_allowed(service: Service, options: Options, callback: str, scope: str) -> None:
    """Raise Invalid for scopes or a callback that the settings do not allow (P-OID-12, P-OID-13)."""
    scopes = scope.split()
    forbidden = sorted(set(scopes) - set(options.allowed_scopes))
    if forbidden:
        raise Invalid(Problem("body", "scope", f"Scopes not allowed: {', '.join(forbidden)}"))
    trusted = _default_callbacks(service) if options.trusted_callbacks is None else options.trusted_callbacks
    if not is_trusted(callback, trusted):
        raise Invalid(Problem("body", "callback", "Untrusted callback URL"))
    if options.userid_field == "email" and "email" not in scopes:
        raise Invalid(Problem("body", "scope", f"Provider {options.name} requires 'email' scope"))


def _default_callbacks(service: Service) -> tuple[Url, ...]:
    """Return the callbacks that are trusted without a setting: this computer, and the pages of the admin plugin."""
    if "kinto.plugins.admin" not in service.settings.includes:
        return _LOCAL
    return (*_LOCAL, parse_pattern(f"{origin_of_urls(service)}{prefix(service)}/admin/*"))


def _token(service: Service, logins: Logins, provider: Provider | None, name: str) -> Response:
    """Redirect a browser that comes from its provider to the callback, with a token. Raises Invalid, BackendError."""
    query = request.args
    problems = [*(_repetitions(query, _TOKEN_FIELDS) or _token_problems(query)), *_provider_problems(provider, name)]
    if problems or provider is None:
        raise Invalid(*problems)
    login = logins.complete(query["state"], name, read_browser(service))
    if login is None:
        raise InvalidState
    if query.get("error"):
        error = {field: query[field] for field in ("error", "error_description") if query.get(field)}
        return _redirect(login.callback + urlencode(error))
    answer = provider.trade(query["code"], login.redirect_uri)
    return _redirect(login.callback + quote(base64.b64encode(answer)))


def _token_problems(query: Mapping[str, str]) -> Iterator[Problem]:
    if not query.get("state"):
        yield Problem("querystring", "state", "Required")
    elif bool(query.get("code")) == bool(query.get("error")):
        yield Problem("querystring", "", _CODE_OR_ERROR)


def _redirect(location: str) -> Response:
    """Return a redirect that nobody may cache, since its URL contains secrets."""
    headers = {
        "Location": quote(location, safe=string.punctuation),
        "Content-Type": "text/plain; charset=UTF-8",
        "Cache-Control": "no-cache, no-store",
    }
    return to_response(Reply(307, "307 Temporary Redirect\n", headers))
