"""Serve `/buckets/default`: the own bucket of each user, created when it is first used (plugins contract, 6)."""

from __future__ import annotations

import hashlib
import hmac
import logging
import uuid
from functools import partial
from typing import Final

from flask import Flask

from blueprints.plugins import Alias, Identity, Json, Service

log: Final = logging.getLogger("kinto.plugins.default_bucket")

_DESCRIPTION: Final = "The default bucket is an alias for a personal bucket where collections are created implicitly."
_DOCUMENTATION: Final = "https://kinto.readthedocs.io/en/latest/api/1.x/buckets.html#personal-bucket-default"
_NO_SECRET: Final = (
    "The setting default_bucket_hmac_secret is empty: anyone who knows a user id can compute the id of the user's "
    "default bucket. Do not change it for users that have one."
)


def attach(_app: Flask, service: Service) -> None:
    """Add the alias `default`, and `user.bucket` in the hello view (P-DEF-2)."""
    secret = service.settings.default_bucket_hmac_secret
    if not secret:
        service.add_start_check(partial(log.warning, _NO_SECRET))

    def own_id(identity: Identity) -> str:
        return bucket_id(secret, identity.user_id or "")

    def describe(identity: Identity) -> dict[str, Json]:
        return {"bucket": own_id(identity)}

    service.add_alias(Alias("bucket", "default", own_id, frozenset({"bucket", "collection"})))
    service.add_user_info(describe)
    service.add_capability("default_bucket", _DESCRIPTION, _DOCUMENTATION)


def bucket_id(secret: str, user_id: str) -> str:
    """Return the id of a user's bucket: the start of an HMAC-SHA256 of the user id, as a UUID (P-DEF-1)."""
    return str(uuid.UUID(hmac.digest(secret.encode(), user_id.encode(), hashlib.sha256)[:16].hex()))
