"""Authenticate a request by its `Authorization` header; the line of the request names the user."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from flask import request

from app.identity import Identity, VerifyingReader
from app.service import Service
from blueprints.request_lines import add_log_identity

_Answer = TypeVar("_Answer")


def recognise(service: Service) -> Identity:
    """Return who sends this request, for `perform_recognised`, which checks it with what it reads."""
    identity = service.authenticate(request.headers.get("Authorization"))
    add_log_identity(identity)
    return identity


def identify(service: Service) -> Identity:
    """Return who sends this request; its line tells who it was."""
    identity = service.authenticate_and_verify(request.headers.get("Authorization"))
    add_log_identity(identity)
    return identity


def identify_with_groups(service: Service, configured: Iterable[str] | None = None) -> tuple[Identity, frozenset[str]]:
    """Return who sends this request, with the principals of `Service.authenticate_with_groups`; its line tells who."""
    identity, principals = service.authenticate_with_groups(request.headers.get("Authorization"), configured)
    add_log_identity(identity)
    return identity, principals


def answer_identified(
    service: Service,
    configured: Iterable[str] | None,
    answer: Callable[[Identity, frozenset[str], VerifyingReader], _Answer],
) -> _Answer:
    """Return what *answer* makes of who sends this request, by `Service.answer_authenticated`; its line tells who."""

    def noted(identity: Identity, principals: frozenset[str], proving: VerifyingReader) -> _Answer:
        add_log_identity(identity)
        return answer(identity, principals, proving)

    return service.answer_authenticated(request.headers.get("Authorization"), configured, noted)
