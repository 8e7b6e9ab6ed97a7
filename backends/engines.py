"""Create PostgreSQL engines: the driver, the connection pool, fresh connections after a fork (operations.md 3.6)."""

from typing import Any

from psycopg2 import ProgrammingError
from psycopg2.extensions import make_dsn
from sqlalchemy import URL, Engine, PoolProxiedConnection, QueuePool, create_engine, make_url
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from backends import Pool
from backends.deadlines import CONNECT_TIMEOUT_SECONDS, LimitedCursor
from backends.forks import renew_in_children

# Query parameters that SQLAlchemy handles itself: it joins several hosts.
_SQLALCHEMY_PARAMETERS = ("host", "port")
_POSTGRESQL_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg2")


def postgresql_url(url: str) -> URL:
    """Return *url* with the driver psycopg2: `postgresql://` alone may mean another driver, `postgres://` means none.

    Raises ValueError when it is not the URL of a PostgreSQL.
    """
    scheme, separator, address = url.partition("://")
    if not separator or scheme not in _POSTGRESQL_SCHEMES:
        # The URL is not repeated: it may hold a password.
        raise ValueError("The URL of a PostgreSQL backend must start with postgresql://")
    engine_url = make_url(f"postgresql+psycopg2://{address}")
    try:
        # libpq checks the parameters that follow the `?`.
        make_dsn(**{name: str(value) for name, value in engine_url.query.items() if name not in _SQLALCHEMY_PARAMETERS})
    except ProgrammingError as error:
        raise ValueError(" ".join(str(error).split())) from None
    return engine_url


def pool_options(pool: Pool) -> dict[str, Any]:
    """Return the settings of *pool* as arguments of `create_engine`."""
    return {
        "pool_size": pool.size,
        "max_overflow": pool.max_overflow,
        "pool_recycle": pool.recycle_seconds,
        "pool_pre_ping": pool.pre_ping,
        "echo": pool.echo,
        "poolclass": _pool_class(pool),
    }


def autocommit_engine(url: str, pool: Pool) -> Engine:
    """Create an engine in autocommit whose statements have a time limit (`backends.deadlines`).

    Bound values appear in no error and no log line.
    """
    engine = create_engine(
        postgresql_url(url),
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS, "cursor_factory": LimitedCursor},
        **pool_options(pool),
    )
    renew_after_fork(engine)
    return engine


def renew_after_fork(engine: Engine) -> None:
    """Let each child process open its own connections (gunicorn `preload_app`, uWSGI without `lazy-apps`).

    The connections of the parent are dropped but not closed: the parent still uses them.
    """
    renew_in_children(engine, lambda inherited: inherited.dispose(close=False))


def _pool_class(pool: Pool) -> type[QueuePool]:
    """Return a class of pools with a fractional timeout, and with a limit to the number of waiting threads.

    Each pool has a class of its own, since a pool that is disposed of creates its successor from its class alone.
    """
    # Without a limit to connections no thread waits.
    bounded = pool.max_backlog >= 0 and pool.max_overflow >= 0
    max_holders = pool.size + pool.max_overflow + pool.max_backlog

    class BoundedQueuePool(QueuePool):
        """A pool that raises at once when too many threads wait."""

        _asking = 0

        def __init__(self, creator: Any, **options: Any) -> None:
            # Flask-SQLAlchemy creates engines from a configuration, where SQLAlchemy converts a timeout to an integer.
            super().__init__(creator, **{**options, "timeout": pool.timeout_seconds})

        def connect(self) -> PoolProxiedConnection:
            """Return a connection. Raises TimeoutError when too many threads wait already."""
            if not bounded:
                return super().connect()
            # A race lets one thread too many in or out, which does no harm.
            if self.checkedout() + self._asking >= max_holders:
                raise PoolTimeoutError(f"Connection pool has reached its bound of {max_holders} holders and waiters")
            self._asking += 1
            try:
                return super().connect()
            finally:
                self._asking -= 1

    return BoundedQueuePool
