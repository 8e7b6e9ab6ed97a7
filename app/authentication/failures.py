"""Count wrong passwords to prevent guessing (DECISIONS: per address and account).

The cache has two counts, each for a fixed time window: one per address and account, and one per address for all
accounts. When a count reaches its limit, no password is compared until the window ends, and the reply is 429. A cached
login is accepted without a check of the counts. If the cache is down, nothing is counted.
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
    """The storage of the library `limits` in a cache: each count is stored with the end of its window since 1970.

    Increments of concurrent processes may be lost: a count limits guessing and need not be exact.
    """

    STORAGE_SCHEME = None

    def __init__(self, cache: Cache) -> None:
        super().__init__()
        self._cache = cache
        self._lock = threading.Lock()

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return the error that a cache raises."""
        return BackendError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Increment a count; the first increment starts the window."""
        with self._lock:
            count, ends = self._read(key)
            if not count:
                ends = time.time() + expiry
            self._cache.set(key, [count + amount, ends], ends - time.time())
        return count + amount

    def get(self, key: str) -> int:
        """Return a count."""
        return self._read(key)[0]

    def get_expiry(self, key: str) -> float:
        """Return the end of a window in seconds since 1970."""
        return self._read(key)[1]

    def check(self) -> bool:
        """Return whether the cache responds."""
        return self._cache.ping()

    def reset(self) -> int | None:
        """Raise NotImplementedError: the cache has other values too."""
        raise NotImplementedError

    def clear(self, key: str) -> None:
        """Delete a count."""
        self._cache.delete(key)

    def _read(self, key: str) -> tuple[int, float]:
        match self._cache.get(key):
            case [int(count), float(ends)] if time.time() < ends < math.inf:
                return count, ends
        return 0, time.time()


@dataclass(frozen=True, slots=True)
class FailureLimits:
    """The maximum numbers of wrong passwords in a window; 0: no limit."""

    per_account: int
    per_address: int
    seconds: int


class Failures:
    """The counts of wrong passwords. *secret* is the HMAC key of their names, which reveal neither address nor user."""

    def __init__(self, cache: Cache, secret: str, bounds: FailureLimits) -> None:
        self._limiter = FixedWindowRateLimiter(_Counts(cache))
        self._secret = secret
        self._per_account = _rate_limit(bounds.per_account, bounds.seconds)
        self._per_address = _rate_limit(bounds.per_address, bounds.seconds)

    def expect_allowed(self, address: str, name: str) -> None:
        """Raise TooManyFailures if a count has reached its limit."""
        try:
            waits = [self._wait_seconds(item, key) for item, key in self._counts(address, name)]
        except BackendError as error:
            log.warning("Unable to read the count of failed logins from the cache: %s", error)
            return
        if any(waits):
            raise TooManyFailures(max(waits))

    def count(self, address: str, name: str) -> None:
        """Count a wrong password."""
        try:
            for item, key in self._counts(address, name):
                self._limiter.hit(item, key)
        except BackendError as error:
            log.warning("Unable to count a failed login: %s", error)

    def _counts(self, address: str, name: str) -> list[tuple[RateLimitItem, str]]:
        texts = ((self._per_account, f"{address} {name}"), (self._per_address, address))
        return [(item, digest(self._secret, f"accounts:{text}:failures")) for item, text in texts if item]

    def _wait_seconds(self, item: RateLimitItem, key: str) -> int:
        """Return the seconds until the end of the window if the count has reached its limit, else 0."""
        if self._limiter.test(item, key):
            return 0
        return max(1, round(self._limiter.get_window_stats(item, key).reset_time - time.time() + 0.5))


def _rate_limit(maximum: int, seconds: int) -> RateLimitItem | None:
    return RateLimitItemPerSecond(maximum, seconds, namespace="login-failures") if maximum > 0 and seconds > 0 else None
