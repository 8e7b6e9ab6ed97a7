"""Declare every setting once: type, default and meaning. Names, variables and the documentation are derived."""

from dataclasses import dataclass
from datetime import datetime

from app.settings import aliases as names
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

_LIKE_STORAGE = "storage's holds for both"
_OTHERS_REFUSED = "another value is refused"
_NO_HISTORY = "there is no plugin `kinto.plugins.history` here"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Features:
    """Say what the service offers."""

    readonly: bool = setting(BOOL, False, "refuse every write")
    batch_max_requests: int | None = setting(
        LIMIT, 25, "most requests in one batch; empty, `null` or 0: no limit. Shown in the hello view"
    )
    paginate_by: int | None = setting(LIMIT, None, "default and upper bound of `_limit`")
    storage_max_fetch_size: int = setting(
        COUNT, 10000, "most rows of a list in one answer; without `paginate_by` a list is cut here and gets `Next-Page`"
    )
    pagination_token_validity_seconds: int = setting(INT, 600, "life of the page tokens of `DELETE` on lists")
    timestamp_max_ahead_seconds: int = setting(
        INT, 86400, "how far ahead of the server's clock a `last_modified` that a client chooses may be"
    )
    explicit_permissions: bool = setting(BOOL, True, "creators get an explicit `write` entry. Shown in the hello view")
    default_id_generator: str = setting(
        MODULE,
        names.UUID4,
        "class that makes and checks ids of kinds without a generator of their own",
        name="id_generator",
    )
    bucket_id_generator: str = setting(MODULE, names.NAME_GENERATOR, "the same for buckets")
    collection_id_generator: str = setting(MODULE, names.NAME_GENERATOR, "the same for collections")
    group_id_generator: str = setting(MODULE, names.NAME_GENERATOR, "the same for groups")
    record_id_generator: str = setting(MODULE, names.RELAXED_UUID, "the same for records")
    experimental_collection_schema_validation: bool = setting(
        BOOL, False, "check records against JSON schemas of collections and buckets; adds the capability `schema`"
    )
    experimental_permissions_endpoint: bool = setting(
        BOOL, False, "offer `GET /permissions` and the capability `permissions_endpoint`"
    )
    includes: tuple[str, ...] = setting(NAMES, (), "plugins, in the order of loading")
    heartbeat_timeout_seconds: float = setting(FLOAT, 10.0, "time given to each check of the heartbeat")
    trailing_slash_redirect_enabled: bool = setting(BOOL, True, "send a path with a trailing slash to the one without")
    trailing_slash_redirect_ttl_seconds: int = setting(
        INT_OR_OFF, 3600, "how long clients may cache that; 0: not at all, -1: nothing is said"
    )
    version_prefix_redirect_enabled: bool = setting(BOOL, True, "send a path without version to the one with it")
    version_prefix_redirect_ttl_seconds: int = setting(
        INT_OR_OFF, -1, "how long clients may cache that; 0: not at all, -1: nothing is said"
    )
    transaction_per_request: bool = ineffective(BOOL, True, "every request is one transaction")
    json_renderer: str = ineffective(TEXT, "ultrajson")
    initialization_sequence: tuple[str, ...] = setting(LIST, (), "accepted, has no effect: a foreign step is warned of")
    tm_annotate_user: bool = ineffective(BOOL, False, name="tm.annotate_user")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Backends:
    """Say where data live."""

    storage_backend: str = setting(
        MODULE,
        "memory",
        "`memory` (a temporary SQLite file), `sqlite`, `postgresql`, or a dotted name; "
        "without it `storage_url`, else Heroku's `DATABASE_URL` decides",
    )
    storage_url: str = setting(URL, "", "`postgresql://user:password@host:5432/database`, or `sqlite:///file`")
    permission_backend: str = setting(MODULE, "memory", "accepted when it is the same as `storage_backend`")
    permission_url: str = setting(URL, "", "accepted when it is the same database as in `storage_url`")
    cache_backend: str = setting(
        MODULE, "memory", "`memory`, `postgresql`, `redis`, `memcached`, or a class of Flask-Caching by its dotted name"
    )
    cache_url: str = setting(URL, "", "`redis://user:password@host:6379/1`, or that of a PostgreSQL database")
    cache_hosts: tuple[str, ...] = setting(SERVERS, (), "memcached: `host:port host:port`")
    cache_prefix: str = setting(TEXT, "", "put before every key")
    cache_max_size_bytes: int = setting(INT, 524288, "size of the memory cache")
    storage_pool_size: int = setting(INT, 25, "connections kept")
    storage_max_overflow: int = setting(INT_OR_OFF, 5, "connections beyond the pool; -1: no bound")
    storage_pool_timeout: float = setting(FLOAT, 30.0, "seconds to wait for a connection")
    storage_pool_recycle: int = setting(INT_OR_OFF, -1, "replace connections older than these seconds; -1: never")
    storage_max_backlog: int = setting(
        INT_OR_OFF, -1, "threads that may wait for a connection; those beyond fail at once; -1: no bound"
    )
    storage_lock_timeout: float = setting(
        LOCK_TIMEOUT,
        10.0,
        "seconds that a write waits for a lock, or for an SQLite file in use, then 503; above 0, at most a day",
    )
    storage_pool_pre_ping: bool = ineffective(
        BOOL, True, "a dead connection is noticed by the statement that fails on it, and replaced"
    )
    storage_poolclass: str = ineffective(POOLCLASS, names.POOLCLASSES[0], _OTHERS_REFUSED)
    storage_echo: bool = setting(BOOL, False, "log every statement, without the values in it")
    storage_isolation_level: str | None = ineffective(MAYBE_TEXT, None)
    cache_pool_size: int = setting(INT, 25, "connections kept", shown="25, Redis 50")
    cache_max_overflow: int = setting(INT_OR_OFF, 5, "as storage's; PostgreSQL only")
    cache_pool_timeout: float = setting(FLOAT, 30.0, "seconds to wait for a connection", shown="30, Redis 20")
    cache_pool_recycle: int = setting(INT_OR_OFF, -1, "as storage's; PostgreSQL only")
    cache_max_backlog: int = setting(INT_OR_OFF, -1, "as storage's; PostgreSQL only")
    cache_pool_pre_ping: bool = setting(BOOL, True, "replace a dead connection before it is used; PostgreSQL only")
    cache_poolclass: str = ineffective(POOLCLASS, names.POOLCLASSES[0], _OTHERS_REFUSED)
    cache_echo: bool = setting(BOOL, False, "as storage's; PostgreSQL only")
    cache_isolation_level: str | None = ineffective(MAYBE_TEXT, None)
    permission_pool_size: int = ineffective(INT, 25, _LIKE_STORAGE)
    permission_max_overflow: int = ineffective(INT_OR_OFF, 5, _LIKE_STORAGE)
    permission_pool_timeout: float = ineffective(FLOAT, 30.0, _LIKE_STORAGE)
    permission_pool_recycle: int = ineffective(INT_OR_OFF, -1, _LIKE_STORAGE)
    permission_max_backlog: int = ineffective(INT_OR_OFF, -1, _LIKE_STORAGE)
    permission_pool_pre_ping: bool = ineffective(BOOL, True, _LIKE_STORAGE)
    permission_poolclass: str = ineffective(POOLCLASS, names.POOLCLASSES[0], _OTHERS_REFUSED)
    permission_echo: bool = ineffective(BOOL, False, _LIKE_STORAGE)
    permission_isolation_level: str | None = ineffective(MAYBE_TEXT, None)


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Identification:
    """Say who is who."""

    userid_hmac_secret: str = setting(SECRET, "", "key of user ids (basicauth) and of cache keys (accounts, OpenID)")
    default_bucket_hmac_secret: str = ineffective(SECRET, "", "there is no plugin `kinto.plugins.default_bucket` here")
    multiauth_policies: tuple[str, ...] = setting(
        NAMES, (), "names of policies, in the order in which they are tried", name="multiauth.policies"
    )
    multiauth_groupfinder: str = ineffective(
        ("module", choice(*names.GROUPFINDERS)),
        names.GROUPFINDERS[0],
        _OTHERS_REFUSED,
        name="multiauth.groupfinder",
    )
    multiauth_authorization_policy: str = ineffective(
        ("module", choice(*names.AUTHORIZATIONS)),
        names.AUTHORIZATIONS[0],
        _OTHERS_REFUSED,
        name="multiauth.authorization_policy",
    )
    account_cache_ttl_seconds: int = setting(
        INT, 30, "how long a checked password is remembered, however often it is used"
    )
    account_bcrypt_rounds: int = setting(
        ROUNDS, 12, "cost of hashing a password: each more doubles the time; from 4 to 31"
    )
    account_login_failures_per_account: int = setting(
        INT, 20, "wrong passwords that one address may send for one account within the window, then 429; 0: any number"
    )
    account_login_failures_per_address: int = setting(
        INT,
        200,
        "wrong passwords that one address may send for all accounts within it, then 429; 0: any number",
    )
    account_login_failures_window_seconds: int = setting(
        INT, 300, "how long wrong passwords count; 0 turns counting off"
    )
    account_validation: bool = setting(
        NOT_PROVIDED, False, "validation of accounts by e-mail is not provided: `true` is refused"
    )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Http:
    """Say how the service speaks to clients."""

    http_scheme: str | None = setting(SCHEME, None, "`http` or `https`: scheme of every URL that the service writes")
    http_host: str | None = setting(
        HOST, None, "host and port of every URL that the service writes; the default port of the scheme is left out"
    )
    trusted_proxies: int = setting(
        INT, 0, "proxies in front that add an address to `X-Forwarded-For`: failed logins are counted by that address"
    )
    cors_origins: tuple[str, ...] = setting(LIST, ("*",), "origins whose pages may use the service")
    cors_max_age_seconds: int | None = setting(
        MAYBE_INT, 3600, "how long browsers may remember a preflight; empty: nothing is said"
    )
    backoff: int | None = setting(MAYBE_INT, None, "seconds that clients are asked to pause, on every answer")
    backoff_percentage: float | None = setting(PERCENTAGE, None, "share of the answers that ask for it; empty: all")
    retry_after_seconds: int = setting(INT, 3, "`Retry-After` of 503 and 409")
    # The rule suspects a default that can change; a field is no such thing.
    eos: datetime | None = setting(DATE, None, "end of service, ISO 8601; UTC where no zone is given")  # noqa: RUF009
    eos_message: str | None = setting(MAYBE_TEXT, None, "message of the `Alert` that tells of it")
    eos_url: str | None = setting(MAYBE_TEXT, None, "URL of that `Alert`, else `project_docs`")
    error_info_link: str = setting(URL, "https://github.com/Kinto/kinto/issues/", "`info` of uncaught errors")
    root_cache_expires_seconds: int | None = setting(
        MAYBE_INT, 86400, "how long clients may cache the hello view; only when `readonly`"
    )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Project:
    """Say what the service calls itself."""

    project_name: str = setting(TEXT, "kinto", "hello view, `Logger` of JSON logs, prefix of metrics")
    project_version: str = setting(TEXT, VERSION, "hello view", shown="version of the service")
    project_docs: str = setting(URL, "https://kinto.readthedocs.io/", "hello view, default URL of `Alert`")
    http_api_version: str = setting(API_VERSION, "1.23", "hello view; its first number is the prefix of the URLs")
    version_json_path: str = setting(FILE, "version.json", "file that `/__version__` serves")
    admin_assets_path: str | None = ineffective(PATH, None, "there is no plugin `kinto.plugins.admin` here")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Monitoring:
    """Say what operators get to see."""

    statsd_url: str | None = setting(STATSD, None, "`udp://host:8125`: its presence alone turns StatsD on")
    statsd_prefix: str | None = setting(MAYBE_TEXT, None, "prefix of the names", shown="`project_name`")
    statsd_backend: str = setting(
        MODULE,
        "kinto.core.statsd",
        "`kinto.core.statsd`, `cliquet.statsd`, or the dotted name of a class like `statsd.StatsClient`",
    )
    statsd_names: str = setting(
        ("text", choice("seed", "kinto", "both")),
        "seed",
        "names of the production guide (`seed`), of Kinto 26.5 (`kinto`), or `both`",
    )
    metrics_matchdict_fields: tuple[str, ...] = setting(
        LABELS, ("bucket_id", "collection_id", "group_id", "record_id"), "parts of URLs that are labels"
    )
    metrics_max_label_values: int = setting(
        COUNT,
        1000,
        "different users, and different ids of each kind, that Prometheus and `statsd_names = kinto` tell apart in a "
        "process; all further ones are `other`",
    )
    prometheus_prefix: str | None = setting(MAYBE_TEXT, None, "prefix of the names", shown="`project_name`")
    prometheus_disabled_metrics: tuple[str, ...] = setting(
        LIST, (), "names that are not measured, with or without prefix", aliases=("disabled_metrics",)
    )
    prometheus_histogram_buckets: tuple[float, ...] = setting(
        ASCENDING, (0.01, 0.05, 0.1, 0.5, 1.0, 3.0, 6.0, float("inf")), "upper bounds of the histograms"
    )
    prometheus_created_metrics_enabled: bool = setting(BOOL, True, "samples `_created`")
    sentry_dsn: str | None = setting(SENTRY, None, "turns Sentry on")
    sentry_env: str | None = setting(MAYBE_TEXT, None, "environment that Sentry shows")
    sentry_breadcrumbs_min_level: int = setting(INT, 10, "level of the log lines kept as breadcrumbs")
    sentry_events_min_level: int = setting(INT, 30, "level of the log lines sent as events")
    newrelic_config: str | None = setting(PATH, None, "file that turns New Relic on")
    newrelic_env: str = setting(TEXT, "dev", "section of that file")
    profiler_enabled: bool = setting(
        BOOL, False, "write a profile of every request, one at a time: for development only"
    )
    profiler_dir: str | None = setting(PATH, None, "folder of the profiles", shown="temporary folder of the system")
    logging_renderer: str | None = setting(
        RENDERER,
        None,
        "`cliquet.logs.MozillaHekaRenderer` or `cliquet.logs.ClassicLogRenderer`: what the message of a log line is",
    )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Plugins:
    """Say what plugins do."""

    event_listeners: tuple[str, ...] = setting(NAMES, (), "names of listeners, in the order of calling")
    history_auto_trim_max_count: int = ineffective(INT_OR_OFF, -1, _NO_HISTORY, name="history.auto_trim_max_count")
    history_auto_trim_threshold: int = ineffective(INT, 100, _NO_HISTORY, name="history.auto_trim_threshold")
    history_auto_trim_user_ids: tuple[str, ...] = ineffective(LIST, (), _NO_HISTORY, name="history.auto_trim_user_ids")
    history_exclude_resources: tuple[str, ...] = ineffective(URIS, (), _NO_HISTORY, name="history.exclude_resources")
    history_exclude_user_ids: tuple[str, ...] = ineffective(LIST, (), _NO_HISTORY, name="history.exclude_user_ids")
    flush_endpoint_enabled: bool = setting(BOOL, False, "the same as including `kinto.plugins.flush`")


GROUPS: tuple[tuple[str, type], ...] = (
    ("Features", Features),
    ("Backends", Backends),
    ("Identity", Identification),
    ("HTTP", Http),
    ("Project", Project),
    ("Metrics, logs, profiling", Monitoring),
    ("Plugins", Plugins),
)
