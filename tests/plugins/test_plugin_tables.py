"""Tables, rules and commands of plugins: the likes of docs/writing-plugins.md, a package outside of the repository."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, inspect, text

from app.service import Service
from app.settings import SettingError, load
from backends.engines import postgresql_url as with_driver
from blueprints.plugins import Context, Effect, Forbidden
from scripts.command import main
from tests.plugins.conftest import ClientMaker
from tests.support.client import Client
from tests.support.databases import DATABASES, assemble_app
from tests.support.services import ROOT

RECORDS = "/buckets/b/collections/c/records"
INCLUDED = "kinto_likes kinto_likes.numbers"
SETTINGS: Mapping[str, Any] = {"kinto.includes": INCLUDED, "kinto.like_id_generator": "kinto.views.NameGenerator"}
MOST_LINES = 30
"""The lines that a plugin with a kind, a table and a rule needs, without empty ones."""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the files of the document where they can be imported."""
    section = (ROOT / "docs" / "writing-plugins.md").read_text().partition("## Tables and commands of its own")[2]
    module, step, numbers = re.findall(r"^```python\n(.+?)^```$", section, re.MULTILINE | re.DOTALL)[:3]
    assert len(list(filter(None, module.splitlines()))) <= MOST_LINES
    folder = tmp_path / "kinto_likes"
    (folder / "versions").mkdir(parents=True)
    (folder / "__init__.py").write_text(module)
    (folder / "versions" / "0001_tables.py").write_text(step)
    (folder / "numbers.py").write_text(numbers)
    monkeypatch.syspath_prepend(tmp_path)
    for name in INCLUDED.split():
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of a service with likes, and with a record that bob may like."""
    client = client_with(dict(SETTINGS), kept=False)
    client.put("/buckets/b", permissions={"read": ["system.Authenticated"]})
    client.put("/buckets/b/collections/c")
    client.put(f"{RECORDS}/r", permissions={"like:create": [client.as_("bob").id]})
    return client


def likes(client: Client, record: str = "r") -> int:
    number: int = client.get(f"/likes{RECORDS}/{record}").json["likes"]
    return number


def test_a_kind_in_records_can_be_granted_and_created(client: Client) -> None:
    """P-API-6: `like:create` is a permission of records, as the kind is in them; eve has not got it."""
    assert client.as_("bob").post(f"{RECORDS}/r/likes", {"id": "1"}).status == 201
    assert client.as_("eve").post(f"{RECORDS}/r/likes").status == 403
    assert client.put(f"{RECORDS}/s", permissions={"dislike:create": ["x"]}).status == 400


def test_a_rule_counts_in_the_transaction_of_the_request(client: Client) -> None:
    create = [{"method": "PUT", "path": f"{RECORDS}/{record}/likes/{n}"} for record in "rs" for n in "12"]

    client.put(f"{RECORDS}/s")
    client.batch(*create, *create)
    client.put(f"{RECORDS}/r/likes/3")
    client.delete(f"{RECORDS}/r/likes/1")

    assert (likes(client), likes(client, "s")) == (2, 2)


def test_a_rule_sees_what_a_cascade_removes(client: Client) -> None:
    for n in "123":
        client.put(f"{RECORDS}/r/likes/{n}")

    assert client.delete(f"{RECORDS}/r/likes").status == 200
    assert likes(client) == 0

    client.put(f"{RECORDS}/r/likes/1")
    client.delete("/buckets/b/collections/c")
    client.put("/buckets/b/collections/c")
    client.put(f"{RECORDS}/r")

    assert likes(client) == 0


def test_rows_of_a_deleted_object_are_deleted_before_the_rules(client: Client) -> None:
    """The likes before the deletion have no effects, those after it count; other records keep theirs."""
    steps = [
        ("PUT", "r"),
        ("PUT", "r/likes/1"),
        ("DELETE", "r"),
        ("PUT", "r"),
        ("PUT", "r/likes/2"),
        ("PUT", "r/likes/3"),
    ]
    client.put(f"{RECORDS}/r/likes/0")
    client.put(f"{RECORDS}/rr")
    client.put(f"{RECORDS}/rr/likes/0")

    client.batch(*({"method": method, "path": f"{RECORDS}/{path}"} for method, path in steps))
    assert (likes(client), likes(client, "rr")) == (2, 1)

    client.batch(*({"method": method, "path": f"{RECORDS}/{path}"} for method, path in steps[:3]))
    assert (likes(client), likes(client, "rr")) == (0, 1)

    client.delete("/buckets/b")
    assert likes(client, "rr") == 0


def test_an_error_of_a_rule_is_the_answer_and_undoes_everything(client: Client) -> None:
    """P-API-7: what rules before it have written is undone too."""
    service: Service = client.app.extensions["kinto"]

    def refuse(effects: Sequence[Effect], context: Context) -> None:
        assert [effect.new.uri for effect in effects] == [f"{RECORDS}/r/likes/1"]
        raise Forbidden

    service.add_rule(refuse)

    answer = client.batch({"method": "PUT", "path": f"{RECORDS}/r/likes/1"})

    assert (answer.status, answer.json["errno"]) == (403, 121)
    assert likes(client) == 0
    assert client.get(f"{RECORDS}/r/likes").data == []


def test_a_plugin_describes_its_urls_in_the_openapi_document(client: Client) -> None:
    """P-API-6, C-UTIL-21."""
    described = client.get("/__api__").json["paths"]["/likes/{record}"]

    assert described["get"]["operationId"] == "get_likes"
    assert described["get"]["responses"].keys() == {"200", "default"}
    assert [parameter["name"] for parameter in described["parameters"]] == ["record"]


def test_flush_empties_the_tables_of_plugins(client: Client) -> None:
    """P-FLUSH-1."""
    client.put(f"{RECORDS}/r/likes/1")

    client.app.extensions["kinto"].flush()

    assert likes(client) == 0


def kinto(*arguments: str) -> tuple[int, str, str]:
    with CliRunner().isolation() as (out, err, _):
        code = main(arguments)
        return code, out.getvalue().decode(), err.getvalue().decode()


def ini_of(url: str, folder: Path) -> str:
    file = folder / "kinto.ini"
    backend = "postgresql" if url.startswith("postgres") else "sqlite"
    lines = ("[app:main]", f"kinto.storage_backend = {backend}", f"kinto.storage_url = {url.replace('%', '%%')}")
    file.write_text("\n".join((*lines, f"kinto.includes = {INCLUDED}", "")))
    return str(file)


def test_migrate_runs_the_steps_of_plugins(empty_postgresql_url: str, tmp_path: Path) -> None:
    """P-API-8, O-CLI-20: dry run, SQL, version 1 when absent, up-to-date then."""
    ini, engine = ini_of(empty_postgresql_url, tmp_path), create_engine(with_driver(empty_postgresql_url))

    _, sql, _ = kinto("--ini", ini, "migrate", "--sql")
    _, _, simulated = kinto("--ini", ini, "migrate", "--dry-run")

    assert "CREATE TABLE likes" in sql
    assert "INSERT INTO kinto_flask_versions_likes (version_num) VALUES ('0001')" in sql
    assert f"Create PostgreSQL likes schema at version 1 from {tmp_path}/kinto_likes/versions." in simulated
    assert inspect(engine).get_table_names() == []

    _, _, first = kinto("--ini", ini, "migrate")
    _, _, second = kinto("--ini", ini, "migrate")

    assert "Created PostgreSQL likes schema (version 1)." in first
    assert "PostgreSQL likes schema is up-to-date." in second
    assert {"likes", "documents"} <= set(inspect(engine).get_table_names())
    engine.dispose()


def content_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("kinto.sqlite*")}


@pytest.mark.parametrize("including", [None, "", INCLUDED], ids=["no file", "the core tables", "all tables"])
@pytest.mark.parametrize("option", ["--dry-run", "--sql"])
def test_a_dry_run_leaves_an_embedded_database_as_it_is(tmp_path: Path, including: str | None, option: str) -> None:
    """O-CLI-16: also with the service's own tables, which a server would create at its start."""
    ini = ini_of(f"sqlite:///{tmp_path}/kinto.sqlite", tmp_path)
    if including is not None:
        url = f"sqlite:///{tmp_path}/kinto.sqlite"
        assemble_app({"kinto.storage_url": url, "kinto.includes": including}).extensions["kinto"].close()
    before = content_of(tmp_path)

    code, out, err = kinto("--ini", ini, "migrate", option)

    assert (code, content_of(tmp_path)) == (0, before)
    assert ("Create SQLite storage schema at version 1" in err) == (including is None)
    assert ("Create SQLite likes schema at version 1" in err) == (including != INCLUDED)
    assert ("CREATE TABLE likes" in out) == (option == "--sql" and including != INCLUDED)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "0002_more.py", id="no revision"),
        pytest.param("revision, down_revision = '2', '0001'\n", "0002_more.py of likes", id="another revision"),
        pytest.param("revision, down_revision = '0002', None\n", "of likes is not the next step", id="no chain"),
        pytest.param("revision, down_revision = '0002', '0001'\n", "it needs upgrade()", id="no upgrade"),
        pytest.param("revision =", "invalid syntax", id="no Python"),
        pytest.param("raise ValueError('no luck')\n", "is no step: no luck", id="an error when it is imported"),
    ],
)
def test_a_file_that_is_no_step_is_named(tmp_path: Path, text: str, message: str) -> None:
    """Nothing is migrated: a later version would take the tables for complete."""
    url = f"sqlite:///{tmp_path}/kinto.sqlite"
    (tmp_path / "kinto_likes" / "versions" / "0002_more.py").write_text(text)

    code, _, err = kinto("--ini", ini_of(url, tmp_path), "migrate")

    assert (code, message in err, str(tmp_path) in err) == (1, True, True), err
    assert "likes" not in inspect(create_engine(url)).get_table_names()


FAILING = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade():
    op.execute("INSERT INTO likes VALUES ('/buckets/b', '/buckets/b', 1)")
    {}
"""


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("raise RuntimeError('no luck')", "(RuntimeError: no luck)"),
        ("op.execute('SELECT x FROM absent')", "absent"),
        ("op.get_bind().execute(sa.text(':'), 1)", "Error: "),
    ],
    ids=["an error of its own", "an error of the database", "a mistake"],
)
@pytest.mark.parametrize("database", DATABASES)
def test_a_step_that_fails_is_named_and_undone(
    database: str, failure: str, message: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """O-CLI-20: one line, without a traceback; the step may be tried again."""
    url = f"sqlite:///{tmp_path}/kinto.sqlite"
    if database == "postgresql":
        url = request.getfixturevalue("empty_postgresql_url")
    ini, step = ini_of(url, tmp_path), tmp_path / "kinto_likes" / "versions" / "0002_more.py"
    kinto("--ini", ini, "migrate")
    step.write_text(FAILING.format(failure))

    code, _, err = kinto("--ini", ini, "migrate")

    assert (code, err.splitlines()[-1].count(f"The step {step} of likes failed (")) == (1, 1), err
    assert message in err.splitlines()[-1]
    engine = create_engine(with_driver(url) if database == "postgresql" else url)
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT number FROM likes")).all() == []
        assert connection.scalar(text("SELECT version_num FROM kinto_flask_versions_likes")) == "0001"
    engine.dispose()


def test_a_server_does_not_start_on_an_embedded_database_that_it_cannot_upgrade(tmp_path: Path) -> None:
    """The error is a SettingError, which servers and commands print as one line. A newer version is named too."""
    url, step = f"sqlite:///{tmp_path}/kinto.sqlite", tmp_path / "kinto_likes" / "versions" / "0002_more.py"
    settings = {"kinto.storage_url": url, **SETTINGS}
    step.write_text(FAILING.format("raise RuntimeError('no luck')"))
    with pytest.raises(SettingError, match=rf"^storage_url: .*The step {re.escape(str(step))} of likes failed"):
        assemble_app(settings)

    step.write_text(FAILING.format("pass"))
    assemble_app(settings).extensions["kinto"].close()
    step.unlink()
    with pytest.raises(SettingError, match=r"^storage_url: .*The likes schema of the database has version 2, which"):
        assemble_app(settings)


def test_a_migration_step_that_fails_is_one_line(tmp_path: Path) -> None:
    module = tmp_path / "kinto_likes" / "__init__.py"
    module.write_text(f"{module.read_text()}    service.add_migration_step(lambda: 1 / 0)\n")

    code, _, err = kinto("--ini", ini_of(f"sqlite:///{tmp_path}/kinto.sqlite", tmp_path), "migrate")

    line = "includes: a migration step of kinto_likes failed (ZeroDivisionError: division by zero)."
    assert (code, err.splitlines()[-1]) == (1, line)


@pytest.mark.parametrize("metrics", [{}, {"kinto.includes": f"{INCLUDED} kinto.plugins.prometheus"}], ids=["", "timed"])
def test_a_server_without_the_tables_of_a_plugin_is_not_healthy(
    empty_postgresql_url: str, caplog: pytest.LogCaptureFixture, metrics: Mapping[str, Any]
) -> None:
    """Its requests fail one by one, until the tables are made."""
    settings = {"kinto.storage_backend": "postgresql", "kinto.storage_url": empty_postgresql_url}
    without = assemble_app(settings).extensions["kinto"]
    without.migrate(lambda line: None)

    app = assemble_app({**settings, **SETTINGS, **metrics})
    (line,) = (line for line in caplog.messages if "tables of the plugin" in line)
    assert "'likes' cannot be read: run kinto migrate (" in line
    answer = Client(app).get("/__heartbeat__")
    assert (answer.status, answer.json) == (503, {"storage": False, "permission": True, "cache": True})

    app.extensions["kinto"].migrate(lambda line: None)
    assert Client(app).get("/__heartbeat__").status == 200
    caplog.clear()
    migrated = assemble_app({**settings, **SETTINGS}).extensions["kinto"]
    assert not [line for line in caplog.messages if "tables of the plugin" in line]

    with migrated.storage.writing.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE likes DROP COLUMN number")
    assert Client(app).get("/__heartbeat__").json["storage"] is False
    for each in (without, app.extensions["kinto"], migrated):
        each.close()


def test_a_load_counts_the_private_fields_that_a_dump_leaves_out(tmp_path: Path) -> None:
    """They are named with their kind: not every private field is the password of an account."""
    module = tmp_path / "kinto_likes" / "__init__.py"
    module.write_text(module.read_text().replace('"record"))', '"record", private=("reason",)))'))
    ini = ini_of(f"sqlite:///{tmp_path}/source.sqlite", tmp_path)
    Path(ini).write_text(f"{Path(ini).read_text()}multiauth.policies = basicauth\n")
    app = assemble_app(load(environ={}, ini=ini))
    for path in ("/buckets/b", "/buckets/b/collections/c", f"{RECORDS}/r"):
        Client(app).put(path)
    Client(app).post(f"{RECORDS}/r/likes", {"reason": "secret"})
    app.extensions["kinto"].close()

    kinto("--ini", ini, "dump", f"{tmp_path}/dump")
    code, _, lines = kinto("--ini", ini_of(f"sqlite:///{tmp_path}/target.sqlite", tmp_path), "load", f"{tmp_path}/dump")

    assert (code, "1 like(s) have no reason, since the dump has no secrets.\n" in lines) == (0, True), lines
    assert "account" not in lines


def test_a_plugin_adds_a_command(tmp_path: Path) -> None:
    """P-API-6: the ini file may follow its name, and the help of `kinto` lists it."""
    ini = ini_of(f"sqlite:///{tmp_path}/kinto.sqlite", tmp_path)

    code, out, _ = kinto("top-likes", "--ini", ini)
    _, described, _ = kinto("--ini", ini, "--help")
    without, _, usage = kinto("top-likes")

    assert (code, out) == (0, "")
    assert re.search("^ *top-likes +Print the records with the most likes.$", described, re.MULTILINE)
    assert (without, "No such command 'top-likes'" in usage) == (2, True)
