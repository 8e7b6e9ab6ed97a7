"""Count wrong passwords, and let nobody go on guessing (DECISIONS: per address and account).

Two counts in the cache, each for a fixed window of time: of one address for one account, and of one address for all
accounts. Where a count is full, no password is compared any more until the window ends: the answer is 429. A login that
is remembered is not asked. A cache that is down counts nothing.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass
from typing import Final

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from app.authentication.basicauth import digest
from app.errors import TooManyFailures
from backends import BackendError
from backends.cache import Cache

log: Final = logging.getLogger("kinto.logins")


class _Counts(Storage):
    """The counts of `limits` in a cache: each is kept with the second, since 1970, in which it ends.

    Of processes that count at the same moment one may be overlooked: a count is a bound on guessing, not an account.
    """

    STORAGE_SCHEME = None

    def __init__(self, cache: Cache) -> None:
        super().__init__()
        self._cache = cache
        self._lock = threading.Lock()

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return what a cache raises."""
        return BackendError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count; a count begins with its window."""
        with self._lock:
            count, ends = self._known(key)
            if not count:
                ends = time.time() + expiry
            self._cache.set(key, [count + amount, ends], ends - time.time())
        return count + amount

    def get(self, key: str) -> int:
        """Return a count."""
        return self._known(key)[0]

    def get_expiry(self, key: str) -> float:
        """Return when a window ends, in seconds since 1970."""
        return self._known(key)[1]

    def check(self) -> bool:
        """Say whether the cache answers."""
        return self._cache.ping()

    def reset(self) -> int | None:
        """Refuse to empty a cache that others use too."""
        raise NotImplementedError

    def clear(self, key: str) -> None:
        """Forget a count."""
        self._cache.delete(key)

    def _known(self, key: str) -> tuple[int, float]:
        match self._cache.get(key):
            case [int(count), float(ends)] if time.time() < ends < math.inf:
                return count, ends
        return 0, time.time()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many wrong passwords are too many in a window: 0 for any number."""

    per_account: int
    per_address: int
    seconds: int


class Failures:
    """The wrong passwords of late. *secret* keys the names of the counts, so that they show no address and no name."""

    def __init__(self, cache: Cache, secret: str, bounds: Bounds) -> None:
        self._limiter = FixedWindowRateLimiter(_Counts(cache))
        self._secret = secret
        self._per_account = _item(bounds.per_account, bounds.seconds)
        self._per_address = _item(bounds.per_address, bounds.seconds)

    def expect_few(self, address: str, name: str) -> None:
        """Raise TooManyFailures when there were so many that no more passwords are compared."""
        try:
            waits = [self._wait_seconds(item, key) for item, key in self._counts(address, name)]
        except BackendError as error:
            log.warning("The cache does not say how often a login failed: %s", error)
            return
        if any(waits):
            raise TooManyFailures(max(waits))

    def count(self, address: str, name: str) -> None:
        """Count a wrong password."""
        try:
            for item, key in self._counts(address, name):
                self._limiter.hit(item, key)
        except BackendError as error:
            log.warning("A login that failed cannot be counted: %s", error)

    def _counts(self, address: str, name: str) -> list[tuple[RateLimitItem, str]]:
        texts = ((self._per_account, f"{address} {name}"), (self._per_address, address))
        return [(item, digest(self._secret, f"accounts:{text}:failures")) for item, text in texts if item]

    def _wait_seconds(self, item: RateLimitItem, key: str) -> int:
        """Return how long a full count still lasts, 0 for one that is not full."""
        if self._limiter.test(item, key):
            return 0
        return max(1, round(self._limiter.get_window_stats(item, key).reset_time - time.time() + 0.5))


def _item(most: int, seconds: int) -> RateLimitItem | None:
    return RateLimitItemPerSecond(most, seconds, namespace="login-failures") if most > 0 and seconds > 0 else None
