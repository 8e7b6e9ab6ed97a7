"""Make PostgreSQL engines: which driver, how many connections, what happens after a fork (operations.md 3.6)."""

from typing import Any

from psycopg2 import ProgrammingError
from psycopg2.extensions import make_dsn
from sqlalchemy import URL, Engine, PoolProxiedConnection, QueuePool, create_engine, make_url
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from backends import Pool
from backends.deadlines import CONNECT_TIMEOUT_SECONDS, LimitedCursor
from backends.forks import renew_in_children

# Options that SQLAlchemy takes for itself: several hosts are joined there.
_OF_SQLALCHEMY = ("host", "port")
_POSTGRESQL_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg2")


def postgresql_url(url: str) -> URL:
    """Return *url* with our driver: `postgresql://` alone means another one, `postgres://` none at all.

    Raises ValueError when it is not the address of a PostgreSQL.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _POSTGRESQL_SCHEMES:
        # The URL is not repeated: it may hold a password.
        raise ValueError("The URL of a PostgreSQL backend must start with postgresql://")
    place = make_url(f"postgresql+psycopg2://{rest}")
    try:
        # libpq knows the options that may follow the `?`.
        make_dsn(**{name: str(value) for name, value in place.query.items() if name not in _OF_SQLALCHEMY})
    except ProgrammingError as error:
        raise ValueError(" ".join(str(error).split())) from None
    return place


def pool_options(pool: Pool) -> dict[str, Any]:
    """Return the arguments of `create_engine` that say what *pool* says."""
    return {
        "pool_size": pool.size,
        "max_overflow": pool.max_overflow,
        "pool_recycle": pool.recycle_seconds,
        "pool_pre_ping": pool.pre_ping,
        "echo": pool.echo,
        "poolclass": _pool_class(pool),
    }


def autocommit_engine(url: str, pool: Pool) -> Engine:
    """Make an engine whose statements each commit by themselves, within a time limit (`backends.deadlines`).

    What they bind is in no error and no log line.
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
    """See to it that a child process opens its own connections (gunicorn `preload_app`, uWSGI without `lazy-apps`).

    Those of the parent are forgotten and not closed: the parent still uses them.
    """
    renew_in_children(engine, lambda inherited: inherited.dispose(close=False))


def _pool_class(pool: Pool) -> type[QueuePool]:
    """Return a pool that waits for fractions of a second too, and in which no more threads wait than may.

    A class of its own for each, since a pool that is disposed of makes its successor from its class alone.
    """
    # Without a bound on connections nobody waits.
    bounded = pool.max_backlog >= 0 and pool.max_overflow >= 0
    most = pool.size + pool.max_overflow + pool.max_backlog

    class BoundedQueuePool(QueuePool):
        """Refuse at once what would wait behind too many others."""

        _asking = 0

        def __init__(self, creator: Any, **options: Any) -> None:
            # Flask-SQLAlchemy makes engines from a configuration, and SQLAlchemy takes a timeout there for an integer.
            super().__init__(creator, **{**options, "timeout": pool.timeout_seconds})

        def connect(self) -> PoolProxiedConnection:
            """Return a connection; raise TimeoutError when too many threads wait already."""
            if not bounded:
                return super().connect()
            # A race lets one too many in or out, which a bound on a queue can bear.
            if self.checkedout() + self._asking >= most:
                raise PoolTimeoutError(f"Connection pool has reached its bound of {most} holders and waiters")
            self._asking += 1
            try:
                return super().connect()
            finally:
                self._asking -= 1

    return BoundedQueuePool
