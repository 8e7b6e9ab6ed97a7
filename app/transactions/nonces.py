"""The nonces of the page tokens of DELETE: each lets one user delete one page of one list, once (C-OBJ-53).

The cache holds a key for each token that can still be used. A transaction only looks a key up while it decides, and
changes the cache as its last step before the commit: it first stores the nonces of the next pages, then redeems the
nonces that it used. So if the cache is down, the request fails before anything is done, and a request that is rejected
or fails leaves its token valid. Two requests with one token are serialized by the lock of the list. If the commit
itself fails, `__exit__` restores the redeemed nonces.

The key is made of the nonce, the list and the user: the token of another user redeems nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from types import TracebackType
from typing import Final, Self

from app.errors import Invalid, Problem
from app.operation import Operation, Outcome
from app.service import Service
from app.transactions.write_transaction import Retry
from backends.storage import Uncertain
from backends.tolerance import tolerate

log: Final = logging.getLogger("kinto.nonces")


class Nonces:
    """The nonces that one writing transaction uses and issues. Enter it before the transaction."""

    def __init__(self, service: Service) -> None:
        self._cache = service.cache
        self._ttl_seconds = service.settings.pagination_token_validity_seconds
        self._issued_keys: list[str] = []
        self._used_keys: list[str] = []
        self._redeemed_keys: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restore redeemed nonces after a failed commit. After a commit with unknown outcome they count as used."""
        if error is None or isinstance(error, Uncertain):
            return
        for key in self._redeemed_keys:
            with tolerate(log, "Unable to restore a page token after a failed commit"):
                self._cache.set(key, "", self._ttl_seconds)

    def use(self, operation: Operation, outcome: Outcome) -> None:
        """Note the nonce of a successful DELETE as used, and the nonce of its next page as issued.

        Raises Invalid for a nonce that was used or has expired, and BackendError.
        """
        if operation.query is not None and operation.writes_many and operation.query.token_nonce is not None:
            key = _key(operation.query.token_nonce, operation)
            if key in self._used_keys or self._cache.get(key) is None:
                raise Invalid(Problem("querystring", None, "_token was already used or has expired."))
            self._used_keys.append(key)
        if outcome.next is not None and operation.nonce is not None:
            self._issued_keys.append(_key(operation.nonce, operation))

    def exchange(self) -> None:
        """Store the issued nonces in the cache, then redeem the used ones. Call this last before the commit.

        Raises BackendError, and Retry when a nonce expired meanwhile.
        """
        for key in self._issued_keys:
            self._cache.set(key, "", self._ttl_seconds)
        for key in self._used_keys:
            if self._cache.delete(key) is None:
                raise Retry
            self._redeemed_keys.append(key)


def _key(nonce: str, operation: Operation) -> str:
    """Return the cache key of a nonce that *operation* uses or issues."""
    owner = json.dumps([nonce, operation.identity.user_id, operation.route.list])
    return f"pagination-token-{uuid.UUID(bytes=hashlib.sha256(owner.encode()).digest()[:16])}"
