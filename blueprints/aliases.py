"""Apply the rules of aliases to requests that no view answers: unknown paths, and methods that a path lacks."""

from __future__ import annotations

from app.operation import Operation
from app.service import Service
from app.transactions.perform import perform
from blueprints.authentication import authenticate_and_verify


def use_alias(service: Service, path: str, method: str, *, lacks_method: bool) -> None:
    """Do what a request with an alias in its path does before it is refused; *path* has no version prefix.

    It needs a user (P-DEF-3). If its path *lacks the method*, it creates the objects on the path, as one that the path
    has (P-DEF-10). Raises Unauthenticated, NotAllowed, Invalid, BackendError, and errors of listeners.
    """
    alias = service.aliases.at_beginning(path)
    if alias is None:
        return
    identity = authenticate_and_verify(service)
    route = service.kinds.match(path) if lacks_method else None
    _, implied = service.aliases.resolve(route or alias, method, identity)
    if route is not None and implied:
        perform(service, [Operation("GET", implied[-1], identity, implied=implied)])
