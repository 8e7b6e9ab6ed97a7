"""Push the payload of each event to a list in Redis (P-EVT-11)."""

from __future__ import annotations

import logging
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from backends import BackendError
from backends.breaker import LIMIT_SECONDS, Breaker
from backends.codec import dumps
from backends.listeners import EventWithPayload, ListenerConfig

log: Final = logging.getLogger("kinto.listeners.redis")


class RedisListener:
    """Push after the commit, so that the list contains no event of a rollback; before it if `moment` is `before`."""

    def __init__(self, client: redis.Redis, listname: str, moment: str) -> None:
        self.moment = moment
        self._client = client
        self._listname = listname
        self._breaker = Breaker(redis.RedisError)

    def __call__(self, event: EventWithPayload) -> None:
        """Push the payload; errors are logged and do not fail the request."""
        try:
            payload = dumps(event.payload)
        except (TypeError, ValueError):
            log.exception("Unable to dump the payload")
            return
        try:
            with self._breaker.call():
                self._client.lpush(self._listname, payload)
        except BackendError:
            log.exception("Unable to send the payload to Redis")


def load_from_config(config: ListenerConfig, prefix: str) -> RedisListener:
    """Return a listener, which connects at the first event.

    Its settings are `url`, `pool_size`, `pool_timeout`, `listname` and `moment`.
    """
    settings = config.get_settings()
    pool = redis.BlockingConnectionPool.from_url(
        settings.get(f"{prefix}url") or "redis://localhost:6379/0",
        max_connections=int(_positive_number(settings.get(f"{prefix}pool_size") or 25, "pool_size")),
        timeout=_positive_number(settings.get(f"{prefix}pool_timeout") or 20, "pool_timeout"),
        socket_timeout=LIMIT_SECONDS,
        socket_connect_timeout=LIMIT_SECONDS,
        # One retry without delay, since requests wait for it. There is none if the server does not answer.
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )
    listname = settings.get(f"{prefix}listname") or "kinto.core.events"
    moment = str(settings.get(f"{prefix}moment") or "after").strip()
    if moment not in ("after", "before"):
        raise ValueError("the setting moment is one of two words")
    return RedisListener(redis.Redis(connection_pool=pool), str(listname), moment)


def _positive_number(value: object, name: str) -> float:
    """Return the value of a setting. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        raise ValueError(f"the setting {name} is no number of 1 or more")
    return value
