"""`kinto copy`: all rows, between all databases, whatever happens meanwhile (docs/reliability.md)."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import delete, update

from app.factory import create_app
from app.settings import SettingError
from backends.codec import dumps, loads
from backends.storage.tables import documents, grants, members
from backends.storage.transfer.copying import Copy
from backends.storage.transfer.digests import normal_json
from backends.storage.transfer.mark import is_marked
from scripts.command import READONLY
from tests.support.client import Client
from tests.support.databases import assemble_app
from tests.support.services import ROOT, as_environment
from tests.support.twins import (
    RECORDS,
    TWIN_SETTINGS,
    Source,
    answers,
    assert_same,
    assert_sound,
    furnished_sources,
    kinto,
    rows_of,
)
from tests.support.unchecked import own_database

DIRECTIONS = [("sqlite", "postgresql"), ("postgresql", "sqlite")]
"""Each database is read, and written, in one of them."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Source]]:
    with furnished_sources(tmp_path_factory) as made:
        yield made


@pytest.fixture
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a new database of the kind that the parameter names."""
    with own_database(request.param, tmp_path) as url:
        yield url


def copy(source: str, target: str) -> str:
    code, lines = kinto("copy", "--from", source, "--to", target)
    assert code == 0, lines
    return lines


@pytest.mark.parametrize(("origin", "target"), DIRECTIONS, indirect=["target"])
def test_a_copy_has_all_rows_and_answers_the_same(sources: Mapping[str, Source], origin: str, target: str) -> None:
    source = sources[origin]

    lines = copy(source.url, target)

    app = assemble_app({"kinto.storage_url": target, **TWIN_SETTINGS})
    with closing(app.extensions["kinto"]):
        assert rows_of(app) == rows_of(source.app)
        assert all(rows_of(app).values())
        if origin == "sqlite":
            assert_same(source.answers, answers(Client(app)))
    assert_sound(target)
    assert "Both storages have the same rows in all lists." in lines
    assert kinto("copy", "--from", source.url, "--to", target)[0] == 1, "it holds data now"


_KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event
from backends.storage.transfer import rows
from scripts.command import main

rows._MAX_ROWS = 5
commits = []

@event.listens_for(Engine, "commit")
def count(connection):
    commits.append(1)
    if len(commits) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

sys.exit(main(sys.argv[2:]))
"""


def copy_and_die(source: str, target: str, commits: int) -> None:
    """Copy in a process that is killed at a commit, in small transactions."""
    command = [sys.executable, "-c", _KILLED, str(commits), "copy", "--from", source, "--to", target]
    ended = subprocess.run(command, env=as_environment(TWIN_SETTINGS), cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.parametrize(("origin", "target"), DIRECTIONS, indirect=["target"])
def test_a_copy_that_was_killed_continues_and_no_server_starts_before(
    sources: Mapping[str, Source], origin: str, target: str
) -> None:
    source = sources[origin]
    client = Client(source.app)
    for number, commits in enumerate((8, 30)):
        copy_and_die(source.url, target, commits)
        client.put(f"{RECORDS}/r1", {"n": number})
        client.delete(f"{RECORDS}/r{number + 2}")
        client.put(f"{RECORDS}/new{number}", {"n": number}, {"read": ["account:dora"]})
        with pytest.raises(SettingError, match=r"^storage_url: The database is the target of an unfinished copy: "):
            create_app({"kinto.storage_url": target, **TWIN_SETTINGS})
    assert "The source is the target of an unfinished copy" in kinto("copy", "--from", target, "--to", source.url)[1]

    copy(source.url, target)

    app = assemble_app({"kinto.storage_url": target, **TWIN_SETTINGS})
    with closing(app.extensions["kinto"]):
        assert rows_of(app) == rows_of(source.app)


def _copy_of(source: Source, target: Flask) -> Copy:
    of_source, of_target = (app.extensions["kinto"] for app in (source.app, target))
    return Copy(of_source.storage, of_target.storage, of_source.tables)


@pytest.mark.parametrize(("origin", "target"), DIRECTIONS, indirect=["target"])
def test_what_differs_after_copying_is_named_and_the_target_stays_marked(
    sources: Mapping[str, Source], origin: str, target: str
) -> None:
    app = assemble_app({"kinto.storage_url": target, **TWIN_SETTINGS})
    service = app.extensions["kinto"]
    service.migrate(lambda line: None)
    copying = _copy_of(sources[origin], app)
    total, done = copying.count(), [0]

    def damage(rows: int) -> None:
        """Change the target when all is copied, and the source."""
        done[0] += rows
        if done[0] == total:
            done[0] += 1
            Client(sources[origin].app).put(f"{RECORDS}/late", {"n": 1})
            with service.storage.transaction() as writer:
                of_list = documents.c.bucket == "/buckets/full", documents.c.list == RECORDS
                other = of_list[0], grants.c.list == "/buckets/full/groups", grants.c.bucket == "/buckets/full"
                writer.connection.execute(update(documents).where(*of_list).values(born=documents.c.born + 1))
                writer.connection.execute(delete(grants).where(*other[1:]))
                writer.connection.execute(delete(members))

    copying.claim()
    result = copying.run(damage)

    assert result.different_lists == [
        f"documents {RECORDS}",
        "grants /buckets/full/groups",
        "members /buckets/full/groups",
    ]
    assert RECORDS in result.written_lists
    with service.storage.snapshot() as connection:
        assert is_marked(connection)
    service.close()


def test_writers_are_not_disturbed_and_the_copy_is_of_one_moment(sources: Mapping[str, Source], tmp_path: Path) -> None:
    """Two records that a batch writes together are equal in the copy, whenever it was made."""
    source = sources["postgresql"]
    ended: list[bool] = []

    def write() -> int:
        number = 0
        while not ended:
            number += 1
            puts = ({"method": "PUT", "path": f"{RECORDS}/{name}", "body": {"data": {"n": number}}} for name in "az")
            assert Client(source.app).batch(*puts).status == 200
        return number

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            urls = [f"sqlite:///{tmp_path}/{number}.sqlite" for number in range(3)]
            lines = [copy(source.url, url) for url in urls]
        finally:
            ended.append(True)
        assert writing.result() > 3

    for url in urls:
        app = assemble_app({"kinto.storage_url": url, **TWIN_SETTINGS})
        with closing(app.extensions["kinto"]):
            pair = [Client(app).get(f"{RECORDS}/{name}").json.get("data", {}).get("n") for name in "az"]
        assert pair[0] == pair[1]
        assert_sound(url)
    assert all(
        f"written to after the copy had begun, and the copy lacks these changes ({RECORDS[:9]}" in each
        for each in lines
    )


def test_what_cannot_be_copied_is_one_line(sources: Mapping[str, Source], tmp_path: Path) -> None:
    source, other = sources["sqlite"].url, sources["postgresql"].url
    new = f"sqlite:///{tmp_path}/new.sqlite"
    (tmp_path / "text").write_text("no database")
    refused = {
        (source, source): "--to: another database than that of --from is expected.",
        (source, f"sqlite:///{tmp_path}/../{Path(source).parent.name}/kinto.sqlite"): "--to: another database",
        (source, "mysql://h/d"): "--to: an address like",
        ("nonsense", new): "--from: an address like",
        (f"sqlite:///{tmp_path}/none", new): "--from: there is no file",
        ("postgresql://u:pa55word@127.0.0.1:9/d", new): "--from: the storage cannot be used (BackendError: ",
        (source, "postgresql://u:pa55word@127.0.0.1:9/d"): "--to: the storage cannot be used (BackendError: ",
        (
            f"sqlite:///{tmp_path}/text",
            new,
        ): "--from: the storage cannot be opened (BackendError: DatabaseError: file is",
        (source, "sqlite:////proc/x.sqlite"): "--to: the storage cannot be opened (",
        (
            source,
            other,
        ): "--to: the storage cannot be used (NotEmpty: The storage holds data (in the table documents): ",
    }
    for (origin, place), line in refused.items():
        code, lines = kinto("copy", "--from", origin, "--to", place)
        errors = [each for each in lines.splitlines() if not each.startswith(("INFO", "WARNI"))]
        assert (code, len(errors), errors[0][: len(line)]) == (1, 1, line), errors
        assert "pa55word" not in lines
    settings = {"kinto_readonly": "true", "kinto_storage_url": new}
    assert kinto("copy", "--from", source, "--to", new, **settings)[0] == READONLY
    code, lines = kinto("copy", "--from", source, "--to", new, kinto_includes="kinto.plugins.accounts")
    assert (code, "has tables of plugins that `includes` does not name: quotas" in lines) == (1, True), lines


NUMBERS = ("1e22", "-0.0", "1e-7", "1.5e300", "0.1", "1.0", "1", "123456789012345678901234567890", "9007199254740993.0")


def test_documents_have_one_normal_form_on_all_databases(sources: Mapping[str, Source]) -> None:
    with sources["postgresql"].app.extensions["kinto"].storage.snapshot() as connection:
        for number in NUMBERS:
            text = f'{{"b": {number}, "a": {{"z": [{number}], "é": "1e5"}}}}'
            stored = connection.exec_driver_sql(f"SELECT '{text}'::jsonb::text").scalar_one()
            assert normal_json(stored) == normal_json(dumps(loads(text))) == normal_json(text), number
    assert normal_json("[1.0]") != normal_json("[1]")
    assert normal_json('{"a":1,"b":"2"}') != normal_json('{"a":1,"b":2}')
