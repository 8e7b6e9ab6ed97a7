"""The settings: where values come from, how text becomes a value, what is refused (operations contract, section 1)."""

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.settings import MissingFile, SettingError, Settings, load
from app.settings.patterns import Shape
from app.settings.values import words
from app.version import VERSION

SECRET = "hunter2-never-shown"


def make_settings(**settings: object) -> Settings:
    """Load settings written without prefix, in an empty environment."""
    return load(settings, {})


def write(folder: Path, content: str) -> str:
    path = folder / "kinto.ini"
    path.write_text(content, encoding="utf-8")
    return str(path)


# Where values come from


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    """O-SET-1."""
    ini = write(tmp_path, "[app:main]\nkinto.paginate_by = 5\nkinto.retry_after_seconds = 7\n")

    settings = load(None, {"KINTO_PAGINATE_BY": "6"}, ini)

    assert (settings.paginate_by, settings.retry_after_seconds, settings.batch_max_requests) == (6, 7, 25)


def test_the_process_environment_wins_over_a_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """O-SET-9."""
    monkeypatch.setenv("KINTO_PAGINATE_BY", "6")

    settings = load({"kinto.paginate_by": 5})

    assert settings.paginate_by == 6


def test_a_local_file_yields_to_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("KINTO_PAGINATE_BY=5\nKINTO_BACKOFF=10\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINTO_PAGINATE_BY", "6")

    settings = load({})

    assert (settings.paginate_by, settings.backoff) == (6, 10)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({"PAGINATE_BY": "2"}, 2, id="without prefix it is read"),
        pytest.param({"PAGINATE_BY": "2", "KINTO_PAGINATE_BY": "3"}, 3, id="with prefix it wins"),
        pytest.param({"KINTO_PAGINATE_BY": ""}, None, id="empty counts as given"),
    ],
)
def test_a_variable_is_read_with_and_without_prefix(environ: dict[str, str], expected: int | None) -> None:
    """O-SET-2, O-SET-5."""
    assert load({"kinto.paginate_by": 9}, environ).paginate_by == expected


@pytest.mark.parametrize("variable", ["MULTIAUTH_POLICIES", "KINTO_MULTIAUTH_POLICIES"])
def test_policies_are_read_from_both_variables(variable: str) -> None:
    """O-SET-3, O-SET-4."""
    settings = load({}, {variable: "basicauth", "KINTO_USERID_HMAC_SECRET": "s"})

    assert [policy.name for policy in settings.policies] == ["basicauth"]


def test_settings_without_default_are_read_from_the_environment_alone() -> None:
    """O-SET-6."""
    environ = {
        "KINTO_RECORD_CACHE_EXPIRES_SECONDS": "30",
        "KINTO_ACCOUNT_CREATE_PRINCIPALS": "system.Everyone",
        "KINTO_USER_DATA_DELETE_PRINCIPALS": "account:admin",
        "KINTO_PLURAL_BUCKET_POST_ENABLED": "false",
        "MULTIAUTH_POLICIES": "google",
        "MULTIAUTH_POLICY_GOOGLE_USE": "kinto.plugins.openid.OpenIDConnectPolicy",
        "MULTIAUTH_POLICY_GOOGLE_CLIENT_ID": "abc",
    }

    settings = load({}, environ)

    assert settings.cache_expires_seconds("record", "b", "c") == 30
    assert settings.principals("account", "create") == {"system.Everyone"}
    assert settings.principals("user-data", "delete") == {"account:admin"}
    assert not settings.is_enabled("plural", "bucket", "post")
    assert settings.policies[0].options == {"realm": "Realm", "client_id": "abc"}
    assert "kinto." not in " ".join(settings.warnings)


PATTERNED: dict[str, tuple[str, Callable[[Settings], object], object]] = {
    "BUCKET_CREATE_PRINCIPALS": ("system.Everyone", lambda s: s.principals("bucket", "create"), {"system.Everyone"}),
    "ACCOUNT_READ_PRINCIPALS": ("account:a b", lambda s: s.principals("account", "read"), {"account:a", "b"}),
    "PLURAL_BUCKET_POST_ENABLED": ("no", lambda s: s.is_enabled("plural", "bucket", "post"), False),
    "OBJECT_RECORD_DELETE_ENABLED": ("0", lambda s: s.is_enabled("object", "record", "delete"), False),
    "COLLECTION_GROUP_GET_ENABLED": ("false", lambda s: s.is_enabled("plural", "group", "get"), False),
    "RECORD_CACHE_EXPIRES_SECONDS": ("7", lambda s: s.cache_expires_seconds("record", "b", "c"), 7),
    "B_RECORD_CACHE_EXPIRES_SECONDS": ("8", lambda s: s.cache_expires_seconds("record", "b", "c"), 8),
    "B_C_RECORD_CACHE_EXPIRES_SECONDS": ("9", lambda s: s.cache_expires_seconds("record", "b", "c"), 9),
    "OWN_ID_GENERATOR": ("own.Generator", lambda s: s.id_generator("own"), "own.Generator"),
    "MULTIAUTH_POLICY_BASICAUTH_REALM": ("here", lambda s: s.policies[0].options["realm"], "here"),
    "EVENT_LISTENERS_OWN_USE": ("own.module", lambda s: s.listeners[0].use, "own.module"),
    "EVENT_LISTENERS_OWN_ACTIONS": ("read", lambda s: s.listeners[0].actions, ("read",)),
    "EVENT_LISTENERS_OWN_LISTNAME": ("events", lambda s: s.listeners[0].options["listname"], "events"),
}


@pytest.mark.parametrize("variable", PATTERNED)
def test_settings_with_a_pattern_are_read_from_both_variables(variable: str) -> None:
    value, read, expected = PATTERNED[variable]
    file = {"multiauth.policies": "basicauth", "event_listeners": "own"}
    file |= {} if "OWN_USE" in variable else {"event_listeners.own.use": "x.y"}

    alone, prefixed = load(file, {variable: value}), load(file, {f"KINTO_{variable}": value})
    both = load(file, {variable: "5", f"KINTO_{variable}": value} if "ACTIONS" not in variable else {variable: value})

    assert read(alone) == read(prefixed) == read(both) == expected


def test_variables_in_small_letters_are_no_settings() -> None:
    settings = load({}, {"bucket_create_principals": "system.Everyone", "Record_Cache_Expires_Seconds": "x"})

    assert settings.principals("bucket", "create") == {"system.Authenticated"}


@pytest.mark.parametrize("name", ["kinto.paginate_by", "paginate_by", "cliquet.paginate_by"])
def test_a_prefix_makes_no_difference(name: str) -> None:
    """O-SET-7, O-SET-8."""
    settings = load({name: "5"}, {})

    assert settings.paginate_by == 5
    assert any("cliquet" in warning for warning in settings.warnings) == name.startswith("cliquet")


def test_the_same_name_twice_is_refused_when_the_values_differ() -> None:
    """O-SET-7."""
    assert load({"kinto.paginate_by": "5", "paginate_by": "5"}, {}).paginate_by == 5

    with pytest.raises(SettingError, match=r"^paginate_by: .*Settings 'kinto.paginate_by', 'paginate_by' are in conf"):
        load({"kinto.paginate_by": "5", "paginate_by": "6"}, {})


def test_a_file_that_is_named_must_exist() -> None:
    """O-SET-10."""
    with pytest.raises(MissingFile, match=r"^/nowhere/kinto.ini does not exist$"):
        load(None, {"KINTO_INI": "/nowhere/kinto.ini"})


def test_without_any_file_the_service_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """O-SET-10."""
    monkeypatch.chdir(tmp_path)

    assert load(None, {}).config_path is None


@pytest.mark.parametrize("ini", ["[app:main]", "[app:main]\nkinto.storage_backend = kinto.core.storage.postgresql\n"])
def test_heroku_s_database_is_used(ini: str, tmp_path: Path) -> None:
    """O-SET-11, O-SET-12."""
    settings = load(None, {"DATABASE_URL": "postgres://u:p@h/d"}, write(tmp_path, ini))

    assert (settings.storage_backend, settings.storage_url) == ("postgresql", "postgresql+psycopg2://u:p@h/d")


def test_heroku_s_variables_are_weaker_than_settings() -> None:
    """O-SET-11."""
    environ = {"DATABASE_URL": "postgres://h/d", "REDIS_URL": "redis://h", "SENTRY_DSN": "https://k@h/1"}

    settings = load({"storage_url": "sqlite:////tmp/x", "cache_backend": "memory"}, environ)

    assert (settings.storage_backend, settings.cache_backend) == ("sqlite", "memory")
    assert settings.sentry_dsn == "https://k@h/1"


def test_heroku_s_redis_is_the_cache() -> None:
    """O-SET-11, O-CACHE-11."""
    settings = load({}, {"REDIS_URL": "rediss://:pw@h:1/2"})

    assert (settings.cache_backend, settings.cache_url) == ("redis", "rediss://:pw@h:1/2")
    assert (settings.cache_pool_size, settings.cache_pool_timeout) == (50, 20)


# How text becomes a value


@pytest.mark.parametrize("text", ["true", "True", "YES", "on", "1", "t", "y", True, 1])
def test_these_are_true(text: object) -> None:
    """O-SET-13."""
    assert make_settings(readonly=text).readonly is True


@pytest.mark.parametrize("text", ["false", "no", "ture", "", "0", "null", False, None])
def test_all_else_is_false(text: object) -> None:
    """O-SET-13."""
    assert make_settings(readonly=text).readonly is False


@pytest.mark.parametrize(
    ("text", "value"), [("10", 10), (" 12 ", 12), ("1e3", 1000), ('"10"', 10), ("007", 7), (5, 5), ("-0", 0)]
)
def test_integers_are_read(text: object, value: int) -> None:
    """O-SET-13."""
    assert make_settings(retry_after_seconds=text).retry_after_seconds == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a b\n  c", ("a", "b", "c"), id="white space and line breaks separate"),
        pytest.param("a,b", ("a,b",), id="a comma does not"),
        pytest.param('["a", 1]', ("a", "1"), id="a JSON list is one"),
        pytest.param(["a", "b"], ("a", "b"), id="a list is one"),
        pytest.param(None, (), id="nothing is an empty one"),
    ],
)
def test_lists_are_read(text: object, value: tuple[str, ...]) -> None:
    """O-SET-14."""
    assert words(text) == value


def test_text_settings_stay_text() -> None:
    """O-SET-15."""
    settings = make_settings(
        userid_hmac_secret="123", project_version="1.10", http_api_version='"1.23"', cache_prefix="true"
    )

    assert settings.userid_hmac_secret == "123"
    assert settings.project_version == "1.10"
    assert settings.http_api_version == "1.23"
    assert settings.cache_prefix == "true"


@pytest.mark.parametrize("empty", ["", "0", "null", None, 0])
def test_no_limit_of_batches_can_be_written_in_several_ways(empty: object) -> None:
    """O-SET-22."""
    assert make_settings(batch_max_requests=empty).batch_max_requests is None


@pytest.mark.parametrize("text", ["2030-01-01", "2030-01-01T00:00:00Z", "2030-01-01 01:00:00+01:00"])
def test_end_of_service_is_a_moment(text: str) -> None:
    """O-DEP-15."""
    assert make_settings(eos=text).eos == datetime(2030, 1, 1, tzinfo=UTC)


# The ini file


FILE = """\ufeff
[DEFAULT]
place = somewhere
[composite:other]
use = egg:Paste#urlmap
[app:main]
use = egg:kinto
kinto.project_name = 100%% %(place)s
kinto.version_json_path = %(here)s/version.json
kinto.http_host = localhost:%(http_port)s
kinto.project_docs = file://%(__file__)s
# kinto.paginate_by = 1
kinto.includes = kinto.plugins.history
    # kinto.plugins.flush
                 kinto.plugins.accounts
kinto.Blog.record_cache_expires_seconds = 5
[server:main]
port = %(http_port)s
[uwsgi]
logformat = %(addr) %d
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=("LF", "CRLF"))
def test_a_paste_file_is_understood(tmp_path: Path, line_end: str) -> None:
    """O-SET-16, O-SET-17."""
    ini = write(tmp_path, FILE.replace("\n", line_end))

    settings = load(None, {"PORT": "9999"}, ini)

    assert settings.project_name == "100% somewhere"
    assert settings.version_json_path == f"{tmp_path}/version.json"
    assert settings.http_host == "localhost:9999"
    assert settings.project_docs == f"file://{ini}"
    assert settings.includes == ("kinto.plugins.history", "kinto.plugins.accounts")
    assert settings.paginate_by is None
    assert settings.cache_expires_seconds("record", "Blog", "c") == 5
    assert settings.get("place") is None
    assert settings.config_path == ini
    assert settings.logging_sections is None


def test_logging_sections_are_found(tmp_path: Path) -> None:
    ini = write(tmp_path, "[app:main]\n[loggers]\nkeys = root\n")

    assert load(None, {}, ini).logging_sections == ini


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("[composite:main]\nuse = egg:Paste#urlmap\n", id="a pipeline instead of the application"),
        pytest.param("[app:main]\nkinto.project_name = 100%\n", id="a single percent sign"),
        pytest.param("[app:main]\nkinto.project_name = %(nowhere)s\n", id="a name that is not there"),
        pytest.param("kinto.project_name = x\n", id="no section"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    with pytest.raises(SettingError) as refused:
        load(None, {}, write(tmp_path, content))

    assert "\n" not in str(refused.value)


# What is refused


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_max_requests", "many"),
        ("paginate_by", "-1"),
        ("paginate_by", "ten"),
        ("storage_max_fetch_size", "0"),
        ("storage_max_fetch_size", "1.5"),
        ("record_cache_expires_seconds", "soon"),
        ("record_cache_expires_seconds", "-1"),
        ("b.c.record_cache_expires_seconds", "soon"),
        ("account_cache_ttl_seconds", "x"),
        ("account_bcrypt_rounds", "3"),
        ("account_validation", "true"),
        ("storage_pool_size", "x"),
        ("cache_pool_size", "-3"),
        ("storage_connect_args", "{}"),
        ("cache_colour", "red"),
        ("permission_colour", "red"),
        ("storage_poolclass", "sqlalchemy.pool.NullPool"),
        ("history.auto_trim_max_count", "x"),
        ("history.exclude_resources", "preview"),
        ("eos", "tomorrow"),
        ("backoff", "a bit"),
        ("backoff_percentage", "101"),
        ("sentry_dsn", "nonsense"),
        ("statsd_url", "http://host"),
        ("statsd_url", "udp://host:port"),
        ("statsd_names", "none"),
        ("http_api_version", "one"),
        ("heartbeat_timeout_seconds", ""),
        ("storage_backend", ""),
        ("storage_backend", "mongodb"),
        ("storage_backend", "kinto.core.storage.nowhere"),
        ("storage_backend", "kinto_redis.storage"),
        ("permission_backend", "cliquet.permission.redis"),
        ("permission_backend", "postgresql"),
        ("storage_url", "mysql://h/d"),
        ("storage_url", "sqlite:///"),
        ("cache_backend", "nowhere"),
        ("includes", "kinto.plugins.nowhere"),
        ("multiauth.groupfinder", "own.groupfinder"),
        ("multiauth.authorization_policy", "own.Policy"),
        ("logging_renderer", "own.Renderer"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_the_setting(name: str, value: str) -> None:
    """O-SET-19, O-SET-46."""
    with pytest.raises(SettingError) as refused:
        load({f"kinto.{name}": value}, {})

    assert str(refused.value).startswith(f"{name}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"multiauth.policies": "own"}, "multiauth.policy.own.use"),
        ({"multiauth.policies": "Basicauth basicauth"}, "multiauth.policies"),
        ({"multiauth.policies": "x", "multiauth.policy.x.use": "kinto_fxa.Policy"}, "multiauth.policy.x.use"),
        ({"event_listeners": "nowhere_at_all"}, "event_listeners.nowhere_at_all.use"),
        ({"event_listeners": "a.b", "event_listeners.b.actions": "create fly"}, "event_listeners.b.actions"),
        ({"includes": "kinto.plugins.statsd"}, "statsd_url"),
        ({"storage_backend": "postgresql"}, "storage_url"),
        ({"storage_backend": "postgresql", "storage_url": "sqlite:////tmp/x"}, "storage_url"),
        ({"cache_backend": "postgresql"}, "cache_url"),
        (
            {"storage_url": "postgresql://h/d", "permission_url": "postgresql://other/d"},
            "permission_url",
        ),
        ({"account_validation.email_sender": "a@b.c"}, "account_validation"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, object], name: str) -> None:
    """O-SET-19, O-SET-46."""
    with pytest.raises(SettingError) as refused:
        load(settings, {})

    assert str(refused.value).startswith(f"{name}: ")


@pytest.mark.parametrize(
    "settings",
    [
        {"storage_url": f"mysql://u:{SECRET}@h/d"},
        {"storage_backend": "sqlite", "storage_url": f"postgresql://u:{SECRET}@h/d"},
        {"storage_url": "postgresql://h/d", "permission_url": f"postgresql://u:{SECRET}@o/d"},
        {"sentry_dsn": f"ftp://{SECRET}@h/1"},
        {"statsd_url": f"tcp://u:{SECRET}@h"},
        {"cache_backend": "postgresql", "cache_url": f"mysql://u:{SECRET}@h/d"},
    ],
)
def test_no_message_holds_a_secret(settings: dict[str, object]) -> None:
    """O-SET-20."""
    with pytest.raises(SettingError) as refused:
        load(settings, {})

    assert SECRET not in str(refused.value)


def test_printing_settings_shows_no_secret() -> None:
    """O-SET-20."""
    settings = load(
        {
            "userid_hmac_secret": SECRET,
            "multiauth.policies": "google",
            "multiauth.policy.google.use": "kinto.plugins.openid.OpenIDConnectPolicy",
            "multiauth.policy.google.client_secret": SECRET,
        },
        {},
    )

    assert SECRET not in repr(settings)
    assert SECRET not in repr(settings.policies)


_BASIC = {"use": "kinto.core.authentication.BasicAuthAuthenticationPolicy"}
_ACCOUNT = {"use": "kinto.plugins.accounts.AccountsPolicy"}
_OPENID = {"use": "kinto.plugins.openid.OpenIDConnectPolicy", "issuer": "https://idp.example", "client_id": "x"}
_FOREIGN = {"use": "kinto_own.Policy"}


@pytest.mark.parametrize(
    ("first", "second", "scheme"),
    [
        pytest.param(_OPENID, _OPENID, "bearer", id="two providers with the default scheme"),
        pytest.param(_OPENID | {"header_type": "oIdC "}, _OPENID | {"header_type": "OIDC"}, "oidc", id="another case"),
        pytest.param(_OPENID, _OPENID | {"audience": "us"}, "bearer", id="the first sends all tokens away"),
        pytest.param(_OPENID | {"audience": "us"}, _OPENID, None, id="the first verifies signatures before"),
        pytest.param(_OPENID, _OPENID | {"header_type": "OIDC"}, None, id="two schemes"),
        pytest.param(_BASIC, _ACCOUNT, "basic", id="basicauth before accounts"),
        pytest.param(_BASIC, _BASIC, "basic", id="basicauth twice"),
        pytest.param(_OPENID | {"header_type": "Basic"}, _ACCOUNT, "basic", id="passwords for a provider"),
        pytest.param(_ACCOUNT, _BASIC, None, id="basicauth after accounts"),
        pytest.param(_ACCOUNT, _ACCOUNT, None, id="a wrong password is for the next"),
        pytest.param(_BASIC, _OPENID, None, id="other schemes"),
        pytest.param(_FOREIGN, _FOREIGN, None, id="policies of plugins"),
    ],
)
def test_a_policy_that_takes_the_credentials_of_a_later_one_is_warned_of(
    first: dict[str, str], second: dict[str, str], scheme: str | None
) -> None:
    options = {
        f"multiauth.policy.{name}.{key}": each[key] for name, each in (("a", first), ("b", second)) for key in each
    }
    warnings = load({"multiauth.policies": "a b", **options}, {}).warnings

    expected = (
        f"The policies 'a' and 'b' have the same scheme in Authorization, {scheme}: the credentials for 'b' go to 'a', "
        "which multiauth.policies names first."
    )
    assert [line for line in warnings if "'b'" in line] == ([expected] if scheme else [])


def _whole_number(raw: object) -> int:
    return int(str(raw))


def test_a_setting_that_nobody_knows_is_warned_of_until_a_plugin_declares_it() -> None:
    settings = load({"kinto.mushrooms": "7", "foreign": "x"}, {"KINTO_INI": "", "KINTO_TOADSTOOLS": "8"})
    assert [name for name in ("foreign", "mushrooms", "toadstools") if name in str(settings.warnings)] == [
        "mushrooms",
        "toadstools",
    ]

    assert settings.declare("kinto.mushrooms", _whole_number, 3) == 7
    assert settings.declare("kinto.toadstools", _whole_number, 3) == 8
    assert settings.declare("kinto.truffles", _whole_number, 3) == 3

    assert "unknown" not in str(settings.warnings)


def test_the_pool_of_a_backend_of_one_s_own_has_options_of_its_own() -> None:
    assert make_settings(cache_backend="own.Cache", cache_colour="red").cache_backend == "own.Cache"


# Settings whose name is a pattern


def test_principals_of_settings_have_defaults() -> None:
    """O-SET-28."""
    assert make_settings().principals("bucket", "create") == {"system.Authenticated"}
    assert make_settings().principals("permissions", "read") == {"system.Everyone"}
    assert make_settings(bucket_create_principals="").principals("bucket", "create") == set()
    assert make_settings().principals("record", "read") == set()


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [
        pytest.param("plural_record_delete_enabled", ("plural", "record", "DELETE"), id="of a list"),
        pytest.param("object_bucket_put_enabled", ("object", "bucket", "PUT"), id="of an object"),
        pytest.param("object_bucket_get_enabled", ("object", "bucket", "HEAD"), id="HEAD with GET"),
        pytest.param("collection_record_delete_enabled", ("plural", "record", "DELETE"), id="of a list, old spelling"),
        pytest.param("record_bucket_put_enabled", ("object", "bucket", "PUT"), id="of an object, old spelling"),
    ],
)
def test_a_method_is_switched_off(name: str, endpoint: tuple[Shape, str, str]) -> None:
    """O-SET-29, O-SET-30."""
    shape, kind, method = endpoint

    assert make_settings().is_enabled(shape, kind, method)
    assert not load({name: "false"}, {}).is_enabled(shape, kind, method)


LIVES = (
    "b.c.record_cache_expires_seconds",
    "b.record_cache_expires_seconds",
    "record_cache_expires_seconds",
    "b_c_record_cache_expires_seconds",
    "b_record_cache_expires_seconds",
)


@pytest.mark.parametrize("first", range(len(LIVES)), ids=LIVES)
def test_the_first_life_that_is_set_wins(first: int) -> None:
    """O-SET-33."""
    settings = load({name: order for order, name in enumerate(LIVES) if order >= first}, {})

    assert settings.cache_expires_seconds("record", "b", "c") == first


def test_a_life_of_one_kind_says_nothing_of_others() -> None:
    """O-SET-32."""
    settings = make_settings(bucket_cache_expires_seconds="10")

    assert settings.cache_expires_seconds("bucket", "b") == 10
    assert settings.cache_expires_seconds("record", "b", "c") is None


# Kinto's names


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("kinto.core.storage.memory", "memory"),
        ("cliquet.storage.memory", "memory"),
        ("memory", "memory"),
        ("own.storage", "own.storage"),
    ],
)
def test_storage_backends_of_kinto_are_known(written: str, meant: str) -> None:
    """O-SET-45, O-SET-47."""
    assert make_settings(storage_backend=written).storage_backend == meant


@pytest.mark.parametrize("written", ["kinto.core.storage.postgresql", "cliquet.storage.postgresql", "postgresql"])
def test_postgresql_of_kinto_is_known(written: str) -> None:
    """O-SET-45."""
    settings = make_settings(
        storage_backend=written,
        storage_url="postgres://u:p@h/d",
        permission_backend=written.replace(".storage.", ".permission."),
        permission_url="postgresql://other:user@h:5432/d",
    )

    assert settings.storage_url == settings.permission_url == "postgresql+psycopg2://u:p@h/d"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("kinto.core.cache.memory", "memory"),
        ("kinto.core.cache.memcached", "memcached"),
        ("kinto.core.cache.redis", "redis"),
        ("kinto_redis.cache", "redis"),
        ("cliquet.cache.redis", "redis"),
        ("flask_caching.backends.SimpleCache", "flask_caching.backends.SimpleCache"),
    ],
)
def test_cache_backends_of_kinto_are_known(written: str, meant: str) -> None:
    """O-SET-45."""
    assert make_settings(cache_backend=written).cache_backend == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("kinto.core.authentication.BasicAuthAuthenticationPolicy", "BasicAuthAuthenticationPolicy"),
        ("cliquet.authentication.BasicAuthAuthenticationPolicy", "BasicAuthAuthenticationPolicy"),
        ("kinto.plugins.accounts.AccountsPolicy", "AccountsPolicy"),
        ("kinto.plugins.accounts.authentication.AccountsAuthenticationPolicy", "AccountsPolicy"),
        ("kinto.plugins.account.AccountsPolicy", "AccountsPolicy"),
        ("kinto.plugins.openid.OpenIDConnectPolicy", "OpenIDConnectPolicy"),
        ("own.OpenIDConnectPolicy", "OpenIDConnectPolicy"),
    ],
)
def test_policies_of_kinto_are_known(written: str, meant: str) -> None:
    """O-SET-45."""
    settings = load({"multiauth.policies": "Foo", "multiauth.policy.Foo.use": written}, {})

    assert settings.policies[0].name == "foo"
    assert settings.policies[0].use.endswith(f".{meant}")


def test_generators_have_defaults_for_each_kind() -> None:
    """O-SET-37, O-SET-45."""
    settings = make_settings(
        bucket_id_generator="cliquet.storage.generators.UUID4", mushroom_id_generator="own.Generator"
    )

    assert settings.id_generator("bucket") == "kinto.core.storage.generators.UUID4"
    assert settings.id_generator("record") == "kinto.views.RelaxedUUID"
    assert settings.id_generator("mushroom") == "own.Generator"
    assert settings.id_generator("other") == "kinto.core.storage.generators.UUID4"


def test_flush_can_be_included_as_in_the_past() -> None:
    """O-SET-31."""
    settings = make_settings(flush_endpoint_enabled="true", includes="kinto.plugins.accounts kinto.plugins.accounts")

    assert settings.includes == ("kinto.plugins.accounts", "kinto.plugins.flush")


def test_the_admin_plugin_switches_the_permissions_endpoint_on() -> None:
    """O-SET-25."""
    assert make_settings(includes="kinto.plugins.admin").experimental_permissions_endpoint


def test_listeners_are_described() -> None:
    """O-SET-45, O-SET-47."""
    settings = load(
        {
            "kinto.event_listeners": "redis own.listener",
            "kinto.event_listeners.redis.use": "cliquet.listeners.redis",
            "kinto.event_listeners.redis.listname": "queue",
            "kinto.event_listeners.listener.actions": "create",
        },
        {"KINTO_EVENT_LISTENERS_REDIS_RESOURCES": "bucket collection"},
    )

    redis, own = settings.listeners
    assert (redis.name, redis.use, redis.prefix) == ("redis", "kinto_redis.listeners", "event_listeners.redis.")
    assert redis.actions == ("create", "update", "delete")
    assert redis.resources == ("bucket", "collection")
    assert redis.options == {"listname": "queue"}
    assert (own.name, own.use, own.actions, own.resources) == ("listener", "own.listener", ("create",), ())


def test_renderers_of_the_past_are_known() -> None:
    """O-MON-28."""
    settings = make_settings(logging_renderer="cliquet.logs.MozillaHekaRenderer")

    assert settings.logging_renderer == "kinto.core.logs.MozillaHekaRenderer"


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION == make_settings().project_version
