"""Authenticate a request by its `Authorization` header, and note its identity for what observes the request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from flask import request

from app.identity import Identity, VerifyingReader
from app.service import Service
from blueprints.exchanges import note_identity

_Answer = TypeVar("_Answer")


def authenticate(service: Service) -> Identity:
    """Return the identity of the sender, for `perform_authenticated`, which verifies it with its first read."""
    identity = service.authenticate(request.headers.get("Authorization"))
    note_identity(identity)
    return identity


def authenticate_and_verify(service: Service) -> Identity:
    """Return the identity of the sender, verified against the storage (`Service.authenticate_and_verify`)."""
    identity = service.authenticate_and_verify(request.headers.get("Authorization"))
    note_identity(identity)
    return identity


def authenticate_with_groups(
    service: Service, configured: Iterable[str] | None = None
) -> tuple[Identity, frozenset[str]]:
    """Return the identity of the sender and its principals, with groups (`Service.authenticate_with_groups`)."""
    identity, principals = service.authenticate_with_groups(request.headers.get("Authorization"), configured)
    note_identity(identity)
    return identity, principals


def answer_authenticated(
    service: Service,
    configured: Iterable[str] | None,
    answer: Callable[[Identity, frozenset[str], VerifyingReader], _Answer],
) -> _Answer:
    """Call *answer* with the identity of the sender and return its result (`Service.answer_authenticated`)."""

    def note_and_answer(identity: Identity, principals: frozenset[str], reader: VerifyingReader) -> _Answer:
        note_identity(identity)
        return answer(identity, principals, reader)

    return service.answer_authenticated(request.headers.get("Authorization"), configured, note_and_answer)
