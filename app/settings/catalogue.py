"""Declare every setting once: type, meaning and default. Variables and the documentation are derived."""

from dataclasses import dataclass
from datetime import datetime

from app.settings import aliases
from app.settings.fields import (
    API_VERSION,
    ASCENDING,
    BOOL,
    COUNT,
    DATE,
    FILE,
    FLOAT,
    HOST,
    INT,
    INT_OR_OFF,
    LABELS,
    LIMIT,
    LIST,
    LOCK_TIMEOUT,
    MAYBE_INT,
    MAYBE_TEXT,
    MODULE,
    NAMES,
    NOT_PROVIDED,
    PATH,
    PERCENTAGE,
    POOLCLASS,
    RENDERER,
    ROUNDS,
    SCHEME,
    SECRET,
    SENTRY,
    SERVERS,
    STATSD,
    TEXT,
    URIS,
    URL,
    ineffective,
    setting,
)
from app.settings.values import choice
from app.version import VERSION

_LIKE_STORAGE = "the setting of the storage applies to both"
_OTHERS_REJECTED = "any other value stops the start"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Features:
    """The features of the service."""

    readonly: bool = setting(BOOL, "reject all writes", default=False)
    batch_max_requests: int | None = setting(
        LIMIT,
        "maximum number of requests in a batch; empty, `null` or 0: no limit. Shown in the hello view",
        default=25,
    )
    paginate_by: int | None = setting(LIMIT, "default and maximum of `_limit`", default=None)
    storage_max_fetch_size: int = setting(
        COUNT,
        "maximum number of objects in one response, even without `paginate_by`; `Next-Page` leads to the others",
        default=10000,
    )
    storage_max_fetch_bytes: int = setting(
        COUNT,
        "bytes of the objects in one response, at most, though always one object; `Next-Page` leads to the others;"
        " the lists of a batch share it",
        default=32 * 1024 * 1024,
    )
    pagination_token_validity_seconds: int = setting(
        INT, "seconds for which page tokens of `DELETE` on lists are valid", default=600
    )
    timestamp_max_ahead_seconds: int = setting(
        INT, "how many seconds a `last_modified` from a client may be ahead of the server's clock", default=86400
    )
    explicit_permissions: bool = setting(
        BOOL, "the creator of an object is entered in its `write` permission. Shown in the hello view", default=True
    )
    default_id_generator: str = setting(
        MODULE,
        "class that generates and validates ids of kinds without a generator of their own",
        default=aliases.UUID4,
        names=("id_generator",),
    )
    bucket_id_generator: str = setting(MODULE, "the same for buckets", default=aliases.NAME_GENERATOR)
    collection_id_generator: str = setting(MODULE, "the same for collections", default=aliases.NAME_GENERATOR)
    group_id_generator: str = setting(MODULE, "the same for groups", default=aliases.NAME_GENERATOR)
    record_id_generator: str = setting(MODULE, "the same for records", default=aliases.RELAXED_UUID)
    experimental_collection_schema_validation: bool = setting(
        BOOL,
        "validate objects against the JSON Schemas of collections and buckets; adds the capability `schema`",
        default=False,
    )
    experimental_permissions_endpoint: bool = setting(
        BOOL, "enable `GET /permissions`; adds the capability `permissions_endpoint`", default=False
    )
    includes: tuple[str, ...] = setting(NAMES, "plugins, in the order in which they are loaded", default=())
    heartbeat_timeout_seconds: float = setting(
        FLOAT, "timeout of each check of the heartbeat, in seconds", default=10.0
    )
    trailing_slash_redirect_enabled: bool = setting(
        BOOL, "redirect a path with a trailing slash to the path without", default=True
    )
    trailing_slash_redirect_ttl_seconds: int = setting(
        INT_OR_OFF, "seconds that clients may cache that redirect; 0: not at all, -1: no header", default=3600
    )
    version_prefix_redirect_enabled: bool = setting(
        BOOL, "redirect a path without version to the path with it", default=True
    )
    version_prefix_redirect_ttl_seconds: int = setting(
        INT_OR_OFF, "seconds that clients may cache that redirect; 0: not at all, -1: no header", default=-1
    )
    transaction_per_request: bool = ineffective(BOOL, "every request is one transaction", default=True)
    json_renderer: str = ineffective(TEXT, default="ultrajson")
    initialization_sequence: tuple[str, ...] = setting(
        LIST, "accepted, has no effect; a warning is logged for steps that are not Kinto's", default=()
    )
    tm_annotate_user: bool = ineffective(BOOL, default=False, name="tm.annotate_user")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Backends:
    """The storage and the cache."""

    storage_backend: str = setting(
        MODULE,
        "`memory` (a temporary SQLite file), `sqlite`, `postgresql`, or a dotted name; "
        "without it `storage_url`, else Heroku's `DATABASE_URL` decides",
        default="memory",
    )
    storage_url: str = setting(URL, "`postgresql://user:password@host:5432/database`, or `sqlite:///file`", default="")
    permission_backend: str = setting(MODULE, "accepted if it is the same as `storage_backend`", default="memory")
    permission_url: str = setting(URL, "accepted if it is the same database as in `storage_url`", default="")
    cache_backend: str = setting(
        MODULE,
        "`memory`, `postgresql`, `redis`, `memcached`, or a class of Flask-Caching by its dotted name",
        default="memory",
    )
    cache_url: str = setting(
        URL, "`redis://user:password@host:6379/1`, or the URL of a PostgreSQL database", default=""
    )
    cache_hosts: tuple[str, ...] = setting(SERVERS, "memcached: `host:port host:port`", default=())
    cache_prefix: str = setting(TEXT, "prefix of all cache keys", default="")
    cache_max_size_bytes: int = setting(INT, "maximum size of the memory cache", default=524288)
    storage_pool_size: int = setting(INT, "size of the connection pool", default=25)
    storage_max_overflow: int = setting(INT_OR_OFF, "additional connections beyond the pool; -1: no limit", default=5)
    storage_pool_timeout: float = setting(FLOAT, "seconds to wait for a connection", default=30.0)
    storage_pool_recycle: int = setting(
        INT_OR_OFF, "age in seconds after which a connection is replaced; -1: never", default=-1
    )
    storage_max_backlog: int = setting(
        INT_OR_OFF, "threads that may wait for a connection; further ones fail at once; -1: no limit", default=-1
    )
    storage_lock_timeout: float = setting(
        LOCK_TIMEOUT,
        "seconds that a write waits for a lock, or a busy SQLite file, until it fails with 503; above 0, at most a day",
        default=10.0,
    )
    storage_request_timeout: float = setting(
        LOCK_TIMEOUT,
        "seconds that the statements of a request may take together, until it fails with 503; above 0, at most a day",
        default=60.0,
    )
    storage_prepare: bool = setting(
        BOOL,
        "prepare the statements of PostgreSQL; `false` behind a pooler that shares sessions, such as PgBouncer in"
        " transaction mode",
        default=True,
    )
    index_builder: bool = setting(
        BOOL,
        "build the indexes of large lists in a thread of the web workers; `false` where `kinto index --watch` does it",
        default=True,
    )
    automatic_indexes: bool = setting(
        BOOL,
        "create an index for a query that lists of more than 5,000 objects are often read by, and drop it after 30 days"
        " without use; needs `index_builder`",
        default=True,
    )
    announce_indexes: bool = setting(
        BOOL,
        "show the capability `indexes` in the hello view; collections declare indexes in any case",
        default=False,
    )
    storage_pool_pre_ping: bool = ineffective(
        BOOL, "a dead connection is detected when a statement fails, and replaced", default=True
    )
    storage_poolclass: str = ineffective(POOLCLASS, _OTHERS_REJECTED, default=aliases.POOLCLASSES[0])
    storage_echo: bool = setting(BOOL, "log every statement without its values", default=False)
    storage_isolation_level: str | None = ineffective(MAYBE_TEXT, default=None)
    cache_pool_size: int = setting(INT, "size of the connection pool", default=25, documented_default="25, Redis 50")
    cache_max_overflow: int = setting(INT_OR_OFF, "as for the storage; PostgreSQL only", default=5)
    cache_pool_timeout: float = setting(
        FLOAT, "seconds to wait for a connection", default=30.0, documented_default="30, Redis 20"
    )
    cache_pool_recycle: int = setting(INT_OR_OFF, "as for the storage; PostgreSQL only", default=-1)
    cache_max_backlog: int = setting(INT_OR_OFF, "as for the storage; PostgreSQL only", default=-1)
    cache_pool_pre_ping: bool = setting(
        BOOL, "replace a dead connection before it is used; PostgreSQL only", default=True
    )
    cache_poolclass: str = ineffective(POOLCLASS, _OTHERS_REJECTED, default=aliases.POOLCLASSES[0])
    cache_echo: bool = setting(BOOL, "as for the storage; PostgreSQL only", default=False)
    cache_isolation_level: str | None = ineffective(MAYBE_TEXT, default=None)
    permission_pool_size: int = ineffective(INT, _LIKE_STORAGE, default=25)
    permission_max_overflow: int = ineffective(INT_OR_OFF, _LIKE_STORAGE, default=5)
    permission_pool_timeout: float = ineffective(FLOAT, _LIKE_STORAGE, default=30.0)
    permission_pool_recycle: int = ineffective(INT_OR_OFF, _LIKE_STORAGE, default=-1)
    permission_max_backlog: int = ineffective(INT_OR_OFF, _LIKE_STORAGE, default=-1)
    permission_pool_pre_ping: bool = ineffective(BOOL, _LIKE_STORAGE, default=True)
    permission_poolclass: str = ineffective(POOLCLASS, _OTHERS_REJECTED, default=aliases.POOLCLASSES[0])
    permission_echo: bool = ineffective(BOOL, _LIKE_STORAGE, default=False)
    permission_isolation_level: str | None = ineffective(MAYBE_TEXT, default=None)


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Identification:
    """The identification of users."""

    userid_hmac_secret: str = setting(
        SECRET, "key for the HMAC of user ids (basicauth) and of cache keys (accounts, OpenID)", default=""
    )
    default_bucket_hmac_secret: str = setting(
        SECRET, "key for the HMAC of the ids of default buckets; another key gives users other buckets", default=""
    )
    multiauth_policies: tuple[str, ...] = setting(
        NAMES, "names of policies, in the order in which they are tried", default=(), names=("multiauth.policies",)
    )
    multiauth_groupfinder: str = ineffective(
        ("module", choice(*aliases.GROUPFINDERS)),
        _OTHERS_REJECTED,
        default=aliases.GROUPFINDERS[0],
        name="multiauth.groupfinder",
    )
    multiauth_authorization_policy: str = ineffective(
        ("module", choice(*aliases.AUTHORIZATIONS)),
        _OTHERS_REJECTED,
        default=aliases.AUTHORIZATIONS[0],
        name="multiauth.authorization_policy",
    )
    account_cache_ttl_seconds: int = setting(
        INT, "seconds that a verified password is cached, however often it is used", default=30
    )
    account_bcrypt_rounds: int = setting(
        ROUNDS, "cost factor of password hashes: each step doubles the time; from 4 to 31", default=12
    )
    account_login_failures_per_account: int = setting(
        INT,
        "wrong passwords per address and account in the window, before the response is 429; 0: no limit",
        default=20,
    )
    account_login_failures_per_address: int = setting(
        INT,
        "wrong passwords per address for all accounts in the window, before the response is 429; 0: no limit",
        default=200,
    )
    account_login_failures_window_seconds: int = setting(
        INT, "length of the window in which wrong passwords are counted; 0: they are not counted", default=300
    )
    account_validation: bool = setting(
        NOT_PROVIDED, "validation of accounts by e-mail is not provided: `true` stops the start", default=False
    )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Http:
    """The HTTP interface."""

    http_scheme: str | None = setting(SCHEME, "`http` or `https`: scheme of all URLs in responses", default=None)
    http_host: str | None = setting(
        HOST, "host and port of all URLs in responses; the default port of the scheme is omitted", default=None
    )
    trusted_proxies: int = setting(
        INT,
        "number of proxies that add to `X-Forwarded-For`; failed logins are counted by the client address there",
        default=0,
    )
    cors_origins: tuple[str, ...] = setting(LIST, "origins whose pages may access the service", default=("*",))
    cors_max_age_seconds: int | None = setting(
        MAYBE_INT, "seconds that browsers may cache a preflight response; empty: no header", default=3600
    )
    backoff: int | None = setting(
        MAYBE_INT, "value of the header `Backoff`, in seconds: clients should pause", default=None
    )
    backoff_percentage: float | None = setting(
        PERCENTAGE, "percentage of responses with `Backoff`; empty: all", default=None
    )
    retry_after_seconds: int = setting(INT, "value of `Retry-After` in responses 503 and 409", default=3)
    # The rule warns of mutable defaults; a field is not a default.
    eos: datetime | None = setting(DATE, "end of service, ISO 8601; UTC without a time zone", default=None)  # noqa: RUF009
    eos_message: str | None = setting(
        MAYBE_TEXT, "message in the header `Alert` about the end of service", default=None
    )
    eos_url: str | None = setting(MAYBE_TEXT, "URL in that header; without it `project_docs`", default=None)
    error_info_link: str = setting(URL, "`info` of unexpected errors", default="https://github.com/Kinto/kinto/issues/")
    root_cache_expires_seconds: int | None = setting(
        MAYBE_INT, "seconds that clients may cache the hello view; only if `readonly`", default=86400
    )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Project:
    """The name and version of the service."""

    project_name: str = setting(
        TEXT, "name in the hello view, `Logger` in JSON logs, prefix of metrics", default="kinto"
    )
    project_version: str = setting(
        TEXT, "version in the hello view", default=VERSION, documented_default="version of the service"
    )
    project_docs: str = setting(
        URL, "URL in the hello view, default URL of `Alert`", default="https://kinto.readthedocs.io/"
    )
    http_api_version: str = setting(
        API_VERSION, "API version in the hello view; its first number is the prefix of URLs", default="1.23"
    )
    version_json_path: str = setting(FILE, "file that `/__version__` serves", default="version.json")
    admin_assets_path: str | None = setting(
        PATH,
        "folder of another admin console than the one of the service, with `VERSION` and `index.html`",
        default=None,
    )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Monitoring:
    """Metrics, logs and profiles."""

    statsd_url: str | None = setting(STATSD, "`udp://host:8125`; enables StatsD", default=None)
    statsd_prefix: str | None = setting(
        MAYBE_TEXT, "prefix of the names", default=None, documented_default="`project_name`"
    )
    statsd_backend: str = setting(
        MODULE,
        "`kinto.core.statsd`, `cliquet.statsd`, or the dotted name of a class like `statsd.StatsClient`",
        default="kinto.core.statsd",
    )
    statsd_names: str = setting(
        ("text", choice("seed", "kinto", "both")),
        "names of metrics: those of the production guide (`seed`), of Kinto 26.5 (`kinto`), or `both`",
        default="seed",
    )
    metrics_matchdict_fields: tuple[str, ...] = setting(
        LABELS,
        "URL parameters that are labels of metrics",
        default=("bucket_id", "collection_id", "group_id", "record_id"),
    )
    metrics_max_label_values: int = setting(
        COUNT,
        "maximum number of users, and of ids of each kind, that Prometheus and `statsd_names = kinto` distinguish in a "
        "process; all others are `other`",
        default=1000,
    )
    prometheus_prefix: str | None = setting(
        MAYBE_TEXT, "prefix of the names", default=None, documented_default="`project_name`"
    )
    prometheus_disabled_metrics: tuple[str, ...] = setting(
        LIST,
        "names of metrics that are not recorded, with or without prefix",
        default=(),
        names=("prometheus_disabled_metrics", "disabled_metrics"),
    )
    prometheus_histogram_buckets: tuple[float, ...] = setting(
        ASCENDING, "upper bounds of the histograms", default=(0.01, 0.05, 0.1, 0.5, 1.0, 3.0, 6.0, float("inf"))
    )
    prometheus_created_metrics_enabled: bool = setting(BOOL, "export samples `_created`", default=True)
    sentry_dsn: str | None = setting(SENTRY, "DSN; enables Sentry", default=None)
    sentry_env: str | None = setting(MAYBE_TEXT, "environment in Sentry", default=None)
    sentry_breadcrumbs_min_level: int = setting(
        INT, "minimum level of log lines that are kept as breadcrumbs", default=10
    )
    sentry_events_min_level: int = setting(INT, "minimum level of log lines that are sent as events", default=30)
    newrelic_config: str | None = setting(PATH, "configuration file of the agent; enables New Relic", default=None)
    newrelic_env: str = setting(TEXT, "section of that file", default="dev")
    profiler_enabled: bool = setting(
        BOOL, "write a profile of every request; requests are serialised: for development only", default=False
    )
    profiler_dir: str | None = setting(
        PATH, "folder for profiles", default=None, documented_default="temporary folder of the system"
    )
    logging_renderer: str | None = setting(
        RENDERER,
        "`cliquet.logs.MozillaHekaRenderer` or `cliquet.logs.ClassicLogRenderer`: format of the message of log lines",
        default=None,
    )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Plugins:
    """Listeners and plugins."""

    event_listeners: tuple[str, ...] = setting(
        NAMES, "names of listeners, in the order in which they are called", default=()
    )
    history_auto_trim_max_count: int = setting(
        INT_OR_OFF,
        "number of entries to keep of each kind of objects in the history of a bucket; -1: all",
        default=-1,
        names=("history.auto_trim_max_count",),
    )
    history_auto_trim_threshold: int = setting(
        INT,
        "number of entries above `history.auto_trim_max_count` at which old ones are removed",
        default=100,
        names=("history.auto_trim_threshold",),
    )
    history_auto_trim_user_ids: tuple[str, ...] = setting(
        LIST,
        "user ids whose entries are counted and removed, each for itself; by default those of all users together",
        default=(),
        names=("history.auto_trim_user_ids",),
    )
    history_exclude_resources: tuple[str, ...] = setting(
        URIS,
        "URIs of buckets, collections, groups and records that leave no entry in the history, with all inside",
        default=(),
        names=("history.exclude_resources",),
    )
    history_exclude_user_ids: tuple[str, ...] = setting(
        LIST,
        "user ids whose changes leave no entry in the history",
        default=(),
        names=("history.exclude_user_ids",),
    )
    flush_endpoint_enabled: bool = setting(BOOL, "the same as including `kinto.plugins.flush`", default=False)


GROUPS: tuple[tuple[str, type], ...] = (
    ("Features", Features),
    ("Backends", Backends),
    ("Identity", Identification),
    ("HTTP", Http),
    ("Project", Project),
    ("Metrics, logs, profiling", Monitoring),
    ("Plugins", Plugins),
)
