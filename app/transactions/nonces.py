"""The nonces of the page tokens of DELETE: each lets one user delete one page of one list, once (C-OBJ-53).

The cache holds a key for each token that can still be used. A transaction only looks a key up while it decides, and
changes the cache as its last step before the commit: first it keeps the nonces of the pages that follow, then it
redeems those that it used. So a cache that is down fails the request while nothing is done, and a request that is
refused or fails leaves its token valid. Two requests with one token meet at the lock of the list. If the commit
itself fails, `__exit__` puts the redeemed nonces back.

The key is made of the nonce, the list and the user: with a token of somebody else there is nothing to redeem.
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
        self._issued: list[str] = []
        self._used: list[str] = []
        self._redeemed: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put redeemed nonces back after a failed commit. After one whose outcome is unknown they count as used."""
        if error is None or isinstance(error, Uncertain):
            return
        for key in self._redeemed:
            with tolerate(log, "Unable to restore a page token after a failed commit"):
                self._cache.set(key, "", self._ttl_seconds)

    def use(self, operation: Operation, outcome: Outcome) -> None:
        """Use the nonce of a DELETE that succeeds, and issue the one of its next page.

        Raises Invalid for a nonce that was used or has expired, and BackendError.
        """
        if operation.query is not None and operation.writes_many and operation.query.token_nonce is not None:
            key = _key(operation.query.token_nonce, operation)
            if key in self._used or self._cache.get(key) is None:
                raise Invalid(Problem("querystring", None, "_token was already used or has expired."))
            self._used.append(key)
        if outcome.next is not None and operation.nonce is not None:
            self._issued.append(_key(operation.nonce, operation))

    def exchange(self) -> None:
        """Keep what was issued, then redeem what was used. Call this last before the commit.

        Raises BackendError, and StartAgain when a nonce expired meanwhile.
        """
        for key in self._issued:
            self._cache.set(key, "", self._ttl_seconds)
        for key in self._used:
            if self._cache.delete(key) is None:
                raise Retry
            self._redeemed.append(key)


def _key(nonce: str, operation: Operation) -> str:
    """Return the cache key of a nonce that *operation* brings or issues."""
    owner = json.dumps([nonce, operation.identity.user_id, operation.route.list])
    return f"pagination-token-{uuid.UUID(bytes=hashlib.sha256(owner.encode()).digest()[:16])}"
