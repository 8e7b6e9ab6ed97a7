"""Authenticate a request by its `Authorization` header, and note its identity for what observes the request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from flask import request

from app.identity import ClientRequest, Credentials, Identity, VerifyingReader
from app.service import Service
from blueprints.exchanges import note_identity
from blueprints.requests import HttpRequest
from blueprints.urls import prefix

_Answer = TypeVar("_Answer")


def credentials_of(service: Service, http_request: HttpRequest) -> Credentials:
    """Return what a request, or a member of a batch, shows of its sender."""
    authorization = http_request.headers.get("Authorization")
    if not service.authenticator.reads_requests:
        return Credentials(authorization)
    method, path, query = http_request.method, http_request.path, http_request.query
    headers = tuple(http_request.headers.items())
    return Credentials(authorization, ClientRequest(method, path, query, headers, request.remote_addr))


def _credentials(service: Service) -> Credentials:
    """Return the credentials of the request."""
    if not service.authenticator.reads_requests:
        return Credentials(request.headers.get("Authorization"))
    path, query = request.path.removeprefix(prefix(service)), request.query_string.decode()
    return credentials_of(service, HttpRequest(request.method, path, query, request.headers))


def authenticate(service: Service) -> Identity:
    """Return the identity of the sender, for `perform_authenticated`, which verifies it with its first read."""
    identity = service.authenticator.authenticate(_credentials(service))
    note_identity(identity)
    return identity


def authenticate_and_verify(service: Service) -> Identity:
    """Return the identity of the sender, verified against the storage (`Authenticator.authenticate_and_verify`)."""
    identity = service.authenticator.authenticate_and_verify(_credentials(service))
    note_identity(identity)
    return identity


def authenticate_with_groups(
    service: Service, setting_principals: Iterable[str] | None = None
) -> tuple[Identity, frozenset[str]]:
    """Return the identity of the sender and its principals, with groups (`Authenticator.authenticate_with_groups`)."""
    identity, principals = service.authenticator.authenticate_with_groups(_credentials(service), setting_principals)
    note_identity(identity)
    return identity, principals


def answer_authenticated(
    service: Service,
    setting_principals: Iterable[str] | None,
    answer: Callable[[Identity, frozenset[str], VerifyingReader], _Answer],
) -> _Answer:
    """Call *answer* with the identity of the sender and return its result (`Authenticator.answer`)."""

    def note_and_answer(identity: Identity, principals: frozenset[str], reader: VerifyingReader) -> _Answer:
        note_identity(identity)
        return answer(identity, principals, reader)

    return service.authenticator.answer(_credentials(service), setting_principals, note_and_answer)
