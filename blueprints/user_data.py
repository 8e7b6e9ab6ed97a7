"""Serve `DELETE /__user_data__/<principal>`, which deletes the data of a user (core contract, 2.8)."""

from __future__ import annotations

from flask import Blueprint, Response

from app.errors import Forbidden, NotAllowed, Unauthenticated
from app.identity import Identity, VerifyingReader
from app.service import Service
from app.transactions.user_data import delete_user_data
from backends.codec import dumps
from blueprints.authentication import answer_authenticated
from blueprints.http import to_response
from blueprints.replies import Reply
from blueprints.urls import prefix


def user_data(service: Service) -> Blueprint:
    """Make the blueprint of `/__user_data__`."""
    blueprint = Blueprint("user-data", __name__, url_prefix=prefix(service))

    def delete(principal: str) -> Response:
        allowed_principals = service.settings.principals("user-data", "delete")  # C-UTIL-35

        def erase(identity: Identity, principals: frozenset[str], reader: VerifyingReader) -> None:
            if allowed_principals.isdisjoint(principals):
                raise Unauthenticated if identity.user_id is None else Forbidden
            delete_user_data(service, principal, identity, reader)

        answer_authenticated(service, allowed_principals, erase)
        return to_response(Reply(200, dumps({"data": {"principal": principal}})))

    def plural() -> Response:
        raise NotAllowed(("OPTIONS",))

    blueprint.add_url_rule(
        "/__user_data__/<principal>", "object", delete, methods=["DELETE"], provide_automatic_options=False
    )
    # The rule makes the URL exist. Its only method is OPTIONS, which a hook answers before this view (C-UTIL-39).
    blueprint.add_url_rule("/__user_data__", "plural", plural, methods=["OPTIONS"], provide_automatic_options=False)
    return blueprint
