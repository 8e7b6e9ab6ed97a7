"""Errors of authors of plugins: the start is prevented, and the message names the plugin and the thing (P-API-1)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.factory import create_app
from app.settings import SettingError
from tests.plugins.test_plugins import add_module

PLUGIN = """
from pathlib import Path

from sqlalchemy import Column, MetaData, Table, Text

from blueprints.plugins import *


def attach(app, service):
    def add_kind(name="star", plural="stars", permissions=("read", "write"), generator=None, **more):
        service.add_kind(Kind(name, plural, permissions, generator or service.generator(name), **more))

    def add_url(rule, name="get_stars"):
        def get(**parts):
            return {}

        get.__name__ = name
        add_view(app, service, rule, get, "Stars.")

    def add_tables(folder="blueprints/plugins/quotas/versions", name="stars", table="stars", column="bucket"):
        table = Table(table, MetaData(), Column(column, Text, primary_key=True), Column("uri", Text))
        service.add_tables(PluginTables(name, Path(folder), (table,), of_objects=True))

    def listen(**attributes):
        service.add_listener(Listener(**{"before": print, **attributes}))

"""
NAME = "kinto_mistaken"

ONCE = {
    "an error in attach": ("raise RuntimeError('x')", "RuntimeError: x"),
    "the name of a kind of the core": ("add_kind('record')", "kind 'record'"),
    "the URL of a kind of the core": ("add_kind(plural='buckets')", "URL 'buckets' .* 'star' .* 'bucket'"),
    "a kind in an unknown kind": ("add_kind(parent='sky')", "parent 'sky' of the kind 'star'"),
    "a kind that no permission names": ("add_kind('my-star')", "name 'my-star'"),
    "a kind at no URL": ("add_kind(plural='a/b')", "URL 'a/b' of the kind 'star'"),
    "a text as names of private fields": ("add_kind(private=('password'))", "'star' has the text 'password'"),
    "indexes of lists with private fields": (
        "add_kind(indexed_lists=('x',)), add_kind('x', 'x', parent='star', private=('y',))",
        "lists of 'x' have private fields",
    ),
    "a description of a URL without slash": ("service.add_openapi('x', {'get': {}})", "OpenAPI path 'x'"),
    "a class of hooks": ("add_kind(hooks=KindHooks)", "hooks of the kind 'star'"),
    "methods that are none": ("add_kind(list_methods=('get',))", "'star' has methods .* get"),
    "an id generator that is none": ("add_kind(generator=str)", "<class 'str'> is no id generator"),
    "users of an unknown kind": ("service.add_identity_kind('star')", "kind 'star'"),
    "an alias below the top": ("service.add_alias(Alias('record', 'me', str, frozenset()))", "alias 'me'"),
    "a capability that is no JSON": ("service.add_capability('x', 'X.', 'u', more={1})", "capability 'x' is no JSON"),
    "a public setting that is no JSON": ("service.add_public_setting('x', {1})", "public setting 'x' is no JSON"),
    "a public setting of the core": ("service.add_public_setting('readonly', 1)", "public setting 'readonly'"),
    "a setting of the core": ("service.add_setting('paginate_by', whole, 1)", "setting 'paginate_by'"),
    "a heartbeat of the core": ("service.add_heartbeat('storage', bool)", "heartbeat 'storage'"),
    "a policy that is none": ("service.add_policy(object())", "is no policy: it has no name"),
    "a listener without function": ("listen(before=None)", "listener has no function"),
    "a listener to an unknown action": ("listen(actions=frozenset({'created'}))", "not created"),
    "a text as kinds of a listener": ("listen(kinds='record')", "frozensets of names"),
    "a URL without slash": ("add_url('stars')", "URL 'stars'"),
    "tables without steps": ("add_tables('docs')", "folder docs of the tables 'stars'"),
    "tables of objects without bucket": ("add_tables(column='of')", "'stars' .* no column .*bucket"),
    "tables with an odd name": ("add_tables(name='my stars')", "name 'my stars' of tables"),
}
TWICE = {
    "a capability": ("service.add_capability('x', 'X.', 'u')", "The 'x' API capability"),
    "a public setting": ("service.add_public_setting('x', 1)", "public setting 'x'"),
    "a setting": ("service.add_setting('star.most', whole, 1)", "setting 'star.most'"),
    "a heartbeat": ("service.add_heartbeat('x', bool)", "heartbeat 'x'"),
    "a policy class": ("service.add_policy_class('x.Y', object)", "policy class 'x.Y'"),
    "a described URL": ("service.add_openapi('/x', {'get': {}})", "OpenAPI path '/x': the method 'get'"),
    "the name of a view": ("add_url(f'/{__name__}')", "view 'get_stars'"),
    "a kind": ("add_kind()", "kind 'star'"),
    "the URL of a kind": ("add_kind(__name__)", "URL 'stars'"),
    "tables": ("add_tables(table=__name__)", "tables 'stars'"),
    "a table": ("add_tables(name=__name__)", "table 'stars'"),
}
AT_LAST = {
    "a kind with a name of the OpenAPI document": ("add_kind('error')", "the kind 'error' adds the definition"),
    "the URL of a view of the core": ("add_url('/__heartbeat__')", rf"URL /v1/__heartbeat__ .*{NAME} .get_stars."),
    "a kind at the URL of a view": ("add_kind(plural='batch')", "URL /v1/batch .*star-plural"),
    "a start check that fails": ("service.add_start_check(lambda: 1 / 0)", f"start check of {NAME} failed .Zero"),
}


@pytest.mark.parametrize(("mistake", "message"), ONCE.values(), ids=ONCE)
def test_a_plugin_cannot_be_attached_with(
    mistake: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_module(tmp_path, monkeypatch, NAME, f"{PLUGIN}    {mistake}\n")

    with pytest.raises(SettingError, match=rf"^includes: the plugin '{NAME}' cannot be attached \(.*{message}"):
        create_app({"kinto.includes": NAME})


@pytest.mark.parametrize(("addition", "message"), TWICE.values(), ids=TWICE)
def test_two_plugins_cannot_both_add(
    addition: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-API-5: the message names the second one."""
    for name in ("kinto_first", "kinto_second"):
        add_module(tmp_path, monkeypatch, name, f"{PLUGIN}    {addition}\n")

    with pytest.raises(SettingError, match=f"the plugin 'kinto_second' cannot be attached .*{re.escape(message)}"):
        create_app({"kinto.includes": "kinto_first kinto_second"})


@pytest.mark.parametrize(("mistake", "message"), AT_LAST.values(), ids=AT_LAST)
def test_the_start_is_prevented_by(mistake: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_module(tmp_path, monkeypatch, NAME, f"{PLUGIN}    {mistake}\n")

    with pytest.raises(SettingError, match=f"^includes: .*{message}"):
        create_app({"kinto.includes": NAME})


def test_a_generator_of_a_plugin_makes_no_id_that_a_uri_cannot_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C-OBJ-5: the limits of ids hold for kinds of plugins as for those of settings."""
    generator = "type('Any', (), {'regexp': '', 'match': lambda *_: True, '__call__': lambda _: 'x'})()"
    add_module(tmp_path, monkeypatch, NAME, f"{PLUGIN}    add_kind(generator={generator})\n")

    service = create_app({"kinto.includes": NAME}).extensions["kinto"]

    accepts = service.kinds["star"].generator.match
    assert [accepts(object_id) for object_id in ("x", "", "a/b", "a" * 256, "a\0")] == [True, *[False] * 4]
    service.close()


def test_a_listener_to_a_kind_that_is_not_there_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A plugin may listen to the kind of another one that is optional. One without name is named by its module."""
    listeners = (
        "listen(kinds=frozenset({'recrd', 'record'}), name='l'), listen(kinds=frozenset({'x'}), before=add_view)"
    )
    add_module(tmp_path, monkeypatch, NAME, f"{PLUGIN}    {listeners}\n")

    create_app({"kinto.includes": NAME}).extensions["kinto"].close()

    assert "The listener 'l' is for the kind 'recrd', which no included plugin has." in caplog.messages
    assert "The listener 'blueprints.views' is for the kind 'x', which no included plugin has." in caplog.messages
    assert not [message for message in caplog.messages if "'record'" in message]
