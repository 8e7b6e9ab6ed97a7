"""`kinto dump` and `kinto load`: a backup can be read again, and nothing in it is trusted (docs/reliability.md)."""

from __future__ import annotations

import gzip
import itertools
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

import hypothesis
import pytest
import zstandard
from flask import Flask
from hypothesis import HealthCheck, Phase, given

from app.dumps.reading import Reader
from app.dumps.writing import Writer
from app.service import Service
from backends.storage import LIVING
from backends.storage.sql import SqlStorage
from backends.storage.transfer.copying import Copy
from backends.storage.transfer.digests import normal_json
from backends.storage.transfer.entries import Export
from backends.storage.transfer.importing import Import
from scripts.command import READONLY
from tests.support.client import Client, basic
from tests.support.databases import DATABASES, assemble_app, make_app
from tests.support.histories import FIRST, Chunk, Run, ask_one_by_one, histories
from tests.support.services import ROOT, as_environment
from tests.support.tables import faults, read_tables
from tests.support.twins import (
    RECORDS,
    TWIN_SETTINGS,
    Asking,
    B,
    Source,
    answers,
    assert_same,
    assert_sound,
    furnished_sources,
    kinto,
    kinto_with_streams,
    rows_of,
)
from tests.support.unchecked import own_database

DIRECTIONS = [("sqlite", "postgresql"), ("postgresql", "sqlite")]
"""Each database is read, and written, in one of them: a dump does not know from which it is."""

ENDINGS = {"sqlite": (".gz", ""), "postgresql": (".zst", ".jsonl")}
"""By the database that is dumped, the names' endings of its dump and of that of its copy."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Source]]:
    with furnished_sources(tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="module")
def text(sources: Mapping[str, Source], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give a whole dump of the SQLite database."""
    file = tmp_path_factory.mktemp("dump") / "dump"
    dump(sources["sqlite"].url, file, "--with-secrets")
    return file.read_bytes()


@pytest.fixture
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a database with tables and without data, of the kind that the parameter names."""
    with own_database(getattr(request, "param", "sqlite"), tmp_path) as url:
        assert kinto("migrate", kinto_storage_url=url)[0] == 0
        yield url


def dump(url: str, file: Path, *options: str, **settings: Any) -> str:
    code, lines = kinto("dump", str(file), *options, kinto_storage_url=url, **settings)
    assert code == 0, lines
    assert [*file.parent.glob("*.part")] == []
    return lines


def load(url: str, file: Path, *options: str, **settings: Any) -> str:
    code, lines = kinto("load", str(file), *options, kinto_storage_url=url, **settings)
    assert code == 0, lines
    return lines


def served(url: str) -> closing[Any]:
    """Return a service on a database, to be closed; its `app` has the application."""
    app = assemble_app({"kinto.storage_url": url, **TWIN_SETTINGS})
    service = app.extensions["kinto"]
    service.app = app
    return closing(service)


def _rows_of_dump(app: Flask) -> dict[str, list[Any]]:
    """Return the rows that a dump has: without keys and terms, and without copies of objects at the top."""
    rows = rows_of(app)
    return {
        "documents": [row[:7] for row in rows["documents"]],
        "grants": [row for row in rows["grants"] if row[0] != row[1]],
        **{name: rows[name] for name in ("members", "clocks")},
    }


def lines_of(file: Path) -> list[Any]:
    """Return the lines of a dump but for header and end, with numbers as PostgreSQL writes them."""
    raw = file.read_bytes()
    if file.name.endswith(".zst"):
        raw = zstandard.ZstdDecompressor().stream_reader(raw).read()
    if file.name.endswith(".gz"):
        raw = gzip.decompress(raw)
    lines = [json.loads(normal_json(line)) for line in raw.decode().split("\n")[:-1]]
    assert lines[0]["kinto_dump"] == 1
    assert lines[-1].keys() == {"end"}
    return lines[1:-1]


@pytest.mark.parametrize(("origin", "target"), DIRECTIONS, indirect=["target"])
def test_a_loaded_dump_answers_every_request_the_same(
    sources: Mapping[str, Source], origin: str, target: str, tmp_path: Path
) -> None:
    source = sources[origin]
    file, again = (tmp_path / f"{number}{ending}" for number, ending in enumerate(ENDINGS[origin]))
    dump(source.url, file, "--with-secrets")

    lines = load(target, file)

    dump(target, again, "--with-secrets")
    assert lines_of(again) == lines_of(file)
    warnings = [line for line in lines.splitlines() if line.startswith("WARN")]
    assert [line for line in warnings if "HTTPS is not enabled" not in line and "setting kinto.test_" not in line] == []
    with served(target) as service:
        assert _numbers(service.app, "") == _numbers(source.app, "")
        assert _rows_of_dump(service.app) == _rows_of_dump(source.app)
        assert_same(source.answers, answers(Client(service.app)))
    assert kinto("check", kinto_storage_url=target)[0] == 0
    assert_sound(target)
    code, lines = kinto("load", str(file), kinto_storage_url=target)
    assert (code, "Nothing was loaded: The storage holds data" in lines) == (1, True)


def test_secrets_stay_in_the_database_unless_they_are_asked_for(
    sources: Mapping[str, Source], target: str, text: bytes, tmp_path: Path
) -> None:
    dump(sources["postgresql"].url, tmp_path / "public")
    public = (tmp_path / "public").read_bytes()
    assert (public.count(b'"password"'), public.count(b"$2b$")) == (2, 0)  # a field of a record, and its history
    assert text.count(b"$2b$") == 2

    lines = load(target, tmp_path / "public")

    assert "2 account(s) have no password" in lines
    with served(target) as service:
        client = Client(service.app)
        assert Asking(client, "alice").ask("GET", "/accounts/dora").data["age"] == 7
        assert Asking(client, "dora").ask("GET", "/").json["user"]["id"].startswith("basicauth:")
        assert kinto("create-user", "-u", "dora", "-p", "new", kinto_storage_url=target)[0] == 0
        with_password = {"Authorization": basic("dora", "new")}
        assert client.as_(None).ask("GET", "/accounts/dora", headers=with_password).status == 200


def _numbers(app: Flask, bucket: str) -> list[Any]:
    """Return the quotas of a bucket, its URI left out, or of all; those of deleted collections are 0."""
    rows = (row[1:] for row in rows_of(app)["quotas"] if bucket in ("", row[0]))
    return [(uri.removeprefix(bucket), *numbers) for uri, *numbers in rows if any(numbers)]


@pytest.mark.parametrize(("origin", "target"), [(name, name) for name in DATABASES], indirect=["target"])
def test_one_bucket_is_loaded_under_another_name(
    sources: Mapping[str, Source], origin: str, target: str, tmp_path: Path
) -> None:
    """The references to the bucket are renamed; a former bucket of the name is another one for clients."""
    source = sources[origin]
    dump(source.url, tmp_path / "all")
    dump(source.url, tmp_path / "one", "--bucket", "full")
    with served(target) as service:
        alice = Asking(Client(service.app), "alice")
        alice.put("/buckets/copy")
        alice.put("/buckets/copy/collections/c")
        alice.put("/buckets/copy/collections/c/records/old")
        alice.put("/buckets/copy/collections/old")
        former = alice.ask("GET", "/buckets/copy/collections/c/records").etag
        assert (
            "has a bucket /buckets/copy"
            in kinto("load", str(tmp_path / "one"), "--into", "copy", kinto_storage_url=target)[1]
        )
        alice.delete("/buckets/copy")
        polled = alice.ask("GET", "/buckets").etag

        load(target, tmp_path / "one", "--into", "copy")
        load(target, tmp_path / "all", "--into", "next", "--bucket", "full")

        assert_sound(target)
        changed = alice.ask("GET", f"/buckets?_since={polled}").data
        assert [each["id"] for each in changed] == ["next", "copy"]
        records = f"{RECORDS}?_since=0&_sort=id&_limit=100"
        there = Asking(Client(source.app), "alice").ask("GET", records).data
        for bucket in ("copy", "next"):
            place = f"/buckets/{bucket}"
            assert alice.ask("GET", records.replace(B, place)).data == there
            assert _numbers(service.app, place) == _numbers(source.app, B)
            permissions = alice.ask("GET", place).json["permissions"]
            assert permissions["read"] == [f"{place}/groups/g"]
            rows = [row for table in ("documents", "grants") for row in rows_of(service.app)[table] if row[0] == place]
            assert (repr(rows).count(f"{B}/"), repr(rows).count('"full"')) == (0, 0)
            assert sum(row[2] == f"{place}/history" for row in rows) > 20
        assert alice.ask("GET", "/buckets/copy/collections/c/records").etag > former
        floors = {row[1]: row[3] for row in rows_of(service.app)["clocks"]}
        assert floors["/buckets/copy/collections/c/records"] > former
        assert alice.ask("GET", "/buckets/copy/collections/old").status == 404
        alice.put("/buckets/copy/collections/old")
    refused = {
        ("all", "--into", "third"): "the dump has several buckets",
        ("all", "--into", "third", "--bucket", "none"): "the dump has no bucket none.",
        ("all", "--into", "third", "--bucket", "short"): "the dump has no bucket short.",
    }
    for (name, *options), line in refused.items():
        code, lines = kinto("load", str(tmp_path / name), *options, kinto_storage_url=target)
        assert (code, line in lines) == (1, True), lines
    for option in (("--into", "-"), ("--bucket", "full")):
        assert kinto("load", str(tmp_path / "one"), *option, kinto_storage_url=target)[0] == 2
    assert "There is no bucket none." in kinto("dump", "--bucket", "none", kinto_storage_url=target)[1]


def test_some_buckets_can_be_dumped_and_loaded_into_an_empty_storage(
    sources: Mapping[str, Source], target: str, tmp_path: Path
) -> None:
    dump(sources["postgresql"].url, tmp_path / "some", "--bucket", "other", "--bucket", "full")

    load(target, tmp_path / "some")

    assert_sound(target)
    with served(target) as service:
        listed = Asking(Client(service.app), "alice").ask("GET", "/buckets").data
        assert sorted(each["id"] for each in listed) == ["full", "other"]


def test_a_dump_is_of_one_moment_while_others_write(sources: Mapping[str, Source], tmp_path: Path) -> None:
    """Two records that a batch writes together are equal in every dump, and the clock of their list is theirs."""
    source = sources["postgresql"]
    for name in "az":
        Client(source.app).put(f"{RECORDS}/{name}", {"n": 0})
    ended: list[bool] = []

    def write() -> int:
        for number in itertools.count(1):
            puts = ({"method": "PUT", "path": f"{RECORDS}/{name}", "body": {"data": {"n": number}}} for name in "az")
            assert Client(source.app).batch(*puts).status == 200
            if ended:
                return number
        raise AssertionError

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            files = [tmp_path / str(number) for number in range(6)]
            for file in files:
                dump(source.url, file)
        finally:
            ended.append(True)
        assert writing.result() > len(files)

    for file in files:
        lines = {line.get("uri") or line["list"]: line for line in lines_of(file)}
        assert lines[f"{RECORDS}/a"]["data"]["n"] == lines[f"{RECORDS}/z"]["data"]["n"]
        newest = max(line["last_modified"] for uri, line in lines.items() if uri.startswith(f"{RECORDS}/"))
        assert lines[RECORDS]["last_modified"] == newest


Change = Callable[[dict[str, Any]], Any]
R1 = f"{RECORDS}/r1"
GROUP = f"{B}/groups/g"
WRONG: Mapping[str, tuple[str, str, Change]] = {
    "an unknown member": (R1, "note: it is unknown", lambda line: line.update(note=1)),
    "a path of no kind": (R1, "uri: no kind of objects has the path", lambda line: line.update(uri=f"{RECORDS}/a/b/c")),
    "a parent that is not there": (R1, "does not exist", lambda line: line.update(uri=f"{B}/collections/x/records/r1")),
    "an object twice": (R1, "uri: it is not in the order", lambda line: line.update(uri=f"{RECORDS}/r0")),
    "another id inside": (R1, "data.id: ", lambda line: line["data"].update(id="r2")),
    "another timestamp inside": (R1, "data.last_modified: ", lambda line: line["data"].update(last_modified=5)),
    "no document": (R1, "data: it is no JSON object", lambda line: line.update(data=[])),
    "a timestamp below 0": (R1, "born: -1 is no timestamp", lambda line: line.update(born=-1)),
    "a timestamp after the year 9999": (R1, "born: 9", lambda line: line.update(born=9 * 10**17)),
    "a timestamp that is no number": (R1, "born: True is no", lambda line: line.update(born=True)),
    "a tombstone with data": (R1, "data: a tombstone", lambda line: line.update(deleted=True)),
    "deleted, perhaps": (R1, "deleted: it is neither", lambda line: line.update(deleted=1)),
    "a principal without name": (R1, "permissions: a name is", lambda line: line["permissions"].update(read={"": 1})),
    "permissions that are a list": (R1, "permissions: it is no", lambda line: line.update(permissions=[])),
    "a beginning that is text": (
        R1, "permissions.read.a: x is", lambda line: line.update(permissions={"read": {"a": "x"}})),
    "an end before the beginning": (
        R1, "former_permissions.0: it ended", lambda line: line.update(former_permissions=[["read", "a", 5, 4]])),
    "an end of three values": (
        R1, "former_permissions.0: it is no", lambda line: line.update(former_permissions=[["read", "a", 5]])),
    "an interval twice": (
        R1, "former_permissions: two began", lambda line: line.update(former_permissions=[["read", "a", 5, 6]] * 2)),
    "a permission that is not text": (
        R1, "permissions: ", lambda line: line.update(former_permissions=[[["read"], "a", 5, 6]])),
    "members of a record": (R1, "members: a record has none", lambda line: line.update(members={"a": 1})),
    "a former member that is too long": (
        GROUP, "members: a name is", lambda line: line.update(former_members=[["a" * 2001, 1, 2]])),
    "a clock that is text": (RECORDS, "last_modified: x is", lambda line: line.update(last_modified="x")),
    "a count below 0": (RECORDS, "count: -1 is no number", lambda line: line.update(count=-1)),
    "a list of no kind": (RECORDS, "list: no kind", lambda line: line.update(list=f"{RECORDS}x")),
    "an index of another grammar": (
        RECORDS, "indexes: they cannot", lambda line: line["indexes"][0].update(definition={"by": ["n"]})),
    "an index without origin": (RECORDS, "indexes.0: it has not", lambda line: line["indexes"][0].pop("origin")),
    "an index of nobody": (RECORDS, "indexes.0.origin", lambda line: line["indexes"][0].update(origin="x")),
    "an index of groups": (
        f"{B}/groups", "indexes: this list cannot", lambda line: line.update(indexes=[{}])),
}  # fmt: skip


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a database into which nothing is ever loaded."""
    with own_database("sqlite", tmp_path_factory.mktemp("empty")) as url:
        assert kinto("migrate", kinto_storage_url=url)[0] == 0
        yield url
        with served(url) as service:
            assert {name for name, rows in rows_of(service.app).items() if rows} == {"clocks"}


def _refused(url: str, file: Path, content: bytes) -> str:
    """Return the line with which a file is refused."""
    file.write_bytes(content)
    code, lines = kinto("load", str(file), kinto_storage_url=url)
    assert code == 1, lines
    [line] = [line for line in lines.splitlines() if line.startswith("ERROR")]
    return line


def test_every_wrong_line_is_refused_by_its_number_and_field(empty: str, text: bytes, tmp_path: Path) -> None:
    lines = text.splitlines(keepends=True)
    for name, (place, problem, change) in WRONG.items():
        [number] = [
            number
            for number, line in enumerate(lines)
            if {"uri": place, "list": place}.items() & json.loads(line).items()
        ]
        line = json.loads(lines[number])
        change(line)

        message = _refused(empty, tmp_path / "wrong", b"".join([*lines[:number], json.dumps(line).encode() + b"\n"]))

        assert f"line {number + 1}: " in message, (name, message)
        assert problem in message, (name, message)


def test_what_nobody_can_write_today_is_loaded_and_counted(text: bytes, target: str, tmp_path: Path) -> None:
    """Another id generator, a plugin that is gone, or Kinto may have allowed it: a backup must not be useless."""
    odd = [line.replace(b'r4"', b'r4 x"') for line in text.splitlines(keepends=True)[:-1]]
    place = next(number for number, line in enumerate(odd) if json.loads(line).get("uri") == GROUP)
    line = json.loads(odd[place])
    odd[place] = json.dumps({**line, "permissions": {"fly": {"a": 5}}, "members": {"a": 5}}).encode() + b"\n"
    objects = sum(b'"uri"' in line[:6] for line in odd)
    end = {
        "objects": objects,
        "lists": len(odd) - objects - 1,
        "checksum": blake2b(b"".join(odd), digest_size=32).hexdigest(),
    }
    (tmp_path / "dump").write_bytes(b"".join([*odd, json.dumps({"end": end}).encode() + b"\n"]))

    lines = load(target, tmp_path / "dump")

    assert "Loaded 1 objects with an id that new objects cannot have, as they were." in lines
    assert "Loaded 1 permissions of unknown names, as they were." in lines
    assert "Loaded 1 members whom their group does not name, as they were." in lines
    with served(target) as service:
        assert Asking(Client(service.app), "alice").ask("GET", f"{RECORDS}?id=r4%20x").data[0]["n"] is False


def test_what_is_no_whole_dump_is_refused(empty: str, text: bytes, tmp_path: Path) -> None:
    lines = text.splitlines(keepends=True)
    number = len(lines)
    deep = b'{"a":' * 120 + b"1" + b"}" * 120 + b"\n"
    wrong = {
        b"": "line 1: the dump is truncated",
        lines[0]: "line 1: the dump is truncated after this line.",
        b"{}\n": "line 1: kinto_dump: this is no dump.",
        b'{"kinto_dump":2}\n': "line 1: kinto_dump: the version 2 of the format is unknown",
        b"nonsense\n": "line 1: Invalid JSON: ",
        lines[0] + b"[]\n": "line 2: it is no JSON object",
        lines[0] + b"{}\n": "line 2: it has neither uri nor list",
        lines[0] + deep: "line 2: JSON is nested more than 110 levels deep",
        lines[0] + lines[1].replace(b'"count"', b'"\\u0000"'): "line 2: ",
        text[:-1]: f"line {number - 1}: the dump is truncated after this line.",
        b"".join(lines[:-1]): f"line {number - 1}: the dump is truncated after this line.",
        b"".join([*lines[:2], *lines[3:]]): f"line {number - 1}: end.objects: ",
        text.replace(b'"life": 1', b'"life": 2').replace(b'"life":1', b'"life":2'): f"line {number}: end.checksum: ",
        text + b"{}\n": f"line {number + 1}: the dump goes on after its end.",
        text.replace(b'{"list":"/buckets/full/groups"', b'{"list":"/buckets/full/group"'): "list: no kind",
        b"".join(
            line for line in lines if b'"list":"/buckets/full/groups"' not in line
        ): "the line of the list is missing",
        gzip.compress(text)[:-900]: "it cannot be decompressed",
        gzip.compress(text)[:500] + b"\0" * 50 + gzip.compress(text)[550:]: "",
        zstandard.compress(text)[:-900]: "",
        zstandard.compress(text)[:500] + b"\0" * 50 + zstandard.compress(text)[550:]: "",
    }
    for content, problem in wrong.items():
        message = _refused(empty, tmp_path / "wrong", content)
        assert "ERROR  Nothing was loaded from " in message
        assert problem in message, (message, problem)


def test_a_kind_that_no_plugin_has_is_named(sources: Mapping[str, Source], empty: str, tmp_path: Path) -> None:
    settings = {"kinto_includes": "kinto.plugins.quotas", "multiauth_policies": "basicauth"}
    url = sources["sqlite"].url
    code, lines = kinto("dump", str(tmp_path / "x"), kinto_storage_url=url, **settings)
    assert (code, "objects in /accounts, a kind of no plugin of the settings" in lines) == (1, True), lines
    assert [*tmp_path.iterdir()] == []

    dump(url, tmp_path / "x", "--with-secrets", **settings)
    code, lines = kinto("load", str(tmp_path / "x"), kinto_storage_url=empty, **settings)
    assert (code, "includes may lack a plugin" in lines) == (1, True), lines


_PROGRAM = "import sys; from scripts.command import main; sys.exit(main(sys.argv[1:]))"


def _run(url: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    environment = as_environment({**TWIN_SETTINGS, "kinto.storage_url": url})
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, check=False, **options)


def test_standard_streams_and_full_disks(
    sources: Mapping[str, Source], target: str, text: bytes, tmp_path: Path
) -> None:
    url = sources["sqlite"].url
    with open("/dev/full", "wb") as full:
        process = _run(url, "dump", stdout=full)
    assert (process.returncode, b"Cannot write the dump to -: No space left on device." in process.stderr) == (1, True)

    file = tmp_path / "dump"
    file.write_text("an older dump")
    limit = resource.RLIMIT_FSIZE
    process = _run(url, "dump", str(file), preexec_fn=lambda: resource.setrlimit(limit, (40_000, 40_000)))
    # The last line but for what coverage prints when its own file is too large.
    assert (
        process.returncode,
        f"ERROR  Cannot write the dump to {file}: File too large." in process.stderr.decode(),
    ) == (
        1,
        True,
    )
    assert (file.read_text(), [*tmp_path.glob("dump*")]) == ("an older dump", [file])
    for name, problem in ((tmp_path / "no" / "dump", "No such file or directory"), (tmp_path, "Is a directory")):
        code, lines = kinto("dump", str(name), kinto_storage_url=url)
        assert (code, problem in lines) == (1, True), lines

    code, dumped, _ = kinto_with_streams(b"", "dump", "--with-secrets", kinto_storage_url=url)
    assert (code, dumped.splitlines()[1:-1]) == (0, text.splitlines()[1:-1])
    code, _, lines = kinto_with_streams(gzip.compress(dumped), "load", "-", kinto_storage_url=target)
    assert code == 0, lines
    assert kinto("load", str(tmp_path / "none"), kinto_storage_url=target)[0] == 1


def test_what_cannot_keep_a_dump_refuses_it(text: bytes, target: str, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(text)
    file = str(tmp_path / "dump")
    assert kinto("load", file, kinto_storage_url=target, kinto_readonly="true")[0] == READONLY
    assert kinto("load", file)[0] == 54
    assert str(LIVING) not in text.decode()


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Flask]]:
    """Give services on databases of their own: one that histories happen to, and one of each kind to take them."""
    with ExitStack() as stack:
        made = {}
        for name in ("sqlite", "postgresql", "other"):
            kind = "sqlite" if name == "other" else name
            url = stack.enter_context(own_database(kind, tmp_path_factory.mktemp(name)))
            made[name] = make_app(url, TWIN_SETTINGS)
            stack.callback(made[name].extensions["kinto"].close)
        yield made


def _lines(service: Service) -> list[bytes]:
    storage = cast(SqlStorage, service.storage)
    with storage.snapshot() as connection:
        entries = Export(connection, storage.dialect).entries()
        return [*Writer(service.kinds, secrets=True).lines(entries)]


def _load_lines(service: Service, lines: list[bytes]) -> None:
    storage = cast(SqlStorage, service.storage)
    with storage.transaction(service.kinds.derived) as writer:
        sink = Import(writer, storage.dialect, service.lists_at_top(), ())
        for entry in Reader(service.kinds).entries(lines):
            sink.add(entry)
        sink.finish()


@given(history=histories)
@hypothesis.settings(
    max_examples=3,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_random_histories_are_copied_and_loaded(apps: Mapping[str, Flask], history: list[Chunk]) -> None:
    """From SQLite to PostgreSQL by copy, from there to SQLite by a dump: nothing changes on the way."""
    first, second, third = (app.extensions["kinto"] for app in apps.values())
    ask_one_by_one(Run(Client(apps["sqlite"])), [FIRST, *history])
    for service in (second, third):
        service.flush()

    copying = Copy(first.storage, second.storage, first.tables)
    copying.claim()
    assert copying.run(lambda rows: None).different_lists == []
    _load_lines(third, _lines(second))

    assert rows_of(apps["postgresql"]) == rows_of(apps["sqlite"])
    assert _rows_of_dump(apps["other"]) == _rows_of_dump(apps["sqlite"])
    third.storage.build_indexes(lambda line: None)
    for service in (second, third):
        with service.storage.snapshot() as connection:
            assert faults(read_tables(connection)) == []
