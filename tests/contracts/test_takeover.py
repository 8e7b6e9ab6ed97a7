"""Test the takeover of databases of Kinto whose rows are written here (operations.md 3.2, 3.3, 3.10)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app.factory import create_service
from app.service import Service
from app.settings import SettingError, load
from backends import Busy
from backends.storage import LATEST, Takeover
from backends.storage.migrations import SchemaError, sql
from scripts.check import scope_of
from tests.support.client import Client, basic, user_id
from tests.support.databases import assemble_app
from tests.support.kinto_tables import KintoTables
from tests.support.services import ROOT, as_environment

SETTINGS = {
    "kinto.storage_lock_timeout": 1,
    "kinto.includes": "kinto.plugins.accounts kinto.plugins.history kinto.plugins.quotas",
    "kinto.userid_hmac_secret": "golden-secret",
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
}
ALICE, BOB = user_id("alice"), user_id("bob")
HASH = "$2b$04$WBI7.GgygGGVLfMovXp4j.RBT25CUQ3LbNNpAWHfuwGvR1W6K0eMu"  # of "secret"
RECORDS = "/buckets/b/collections/c/records"
OURS = {
    "documents",
    "grants",
    "members",
    "clocks",
    "indexes",
    "kinto_flask_takeover",
    "kinto_flask_versions",
    "quotas",
    "kinto_flask_versions_quotas",
}


@pytest.fixture
def kinto(empty_postgresql_url: str) -> KintoTables:
    """Give Kinto's tables with a bucket, a collection, a group, an account, and a visited list of records."""
    kinto = KintoTables(empty_postgresql_url)
    kinto.add("bucket", "", "b", 1_000, {"title": "B"})
    kinto.add("collection", "/buckets/b", "c", 1_100)
    kinto.add("group", "/buckets/b", "g", 1_200, {"members": [BOB]})
    kinto.add("account", "ann", "ann", 1_300, {"password": HASH})
    kinto.visit("record", "/buckets/b/collections/c", 1_400.4)
    kinto.grant("/buckets/b", "write", ALICE)
    kinto.grant("/accounts/ann", "write", "account:ann")
    kinto.join(BOB, "/buckets/b/groups/g")
    return kinto


@contextlib.contextmanager
def application(kinto: KintoTables, **settings: Any) -> Iterator[Flask]:
    app = assemble_app(load({**SETTINGS, "kinto.storage_url": kinto.url, **settings}))
    try:
        yield app
    finally:
        app.extensions["kinto"].close()


@contextlib.contextmanager
def taken_over(kinto: KintoTables, takeover: Takeover | None = None) -> Iterator[Client]:
    """Take over and give a client of the service on the result."""
    take_over(kinto, takeover)
    with application(kinto) as app:
        yield Client(app)


def take_over(kinto: KintoTables, takeover: Takeover | None = None, *, dry_run: bool = False) -> list[str]:
    lines: list[str] = []
    service = new_service(kinto)
    try:
        service.migrate(lines.append, dry_run=dry_run, takeover=takeover or Takeover())
    finally:
        service.close()
    return lines


def new_service(kinto: KintoTables) -> Service:
    return create_service(load({**SETTINGS, "kinto.storage_url": kinto.url}))


def faults_of(app: Flask) -> list[str]:
    """Return the faults that `kinto check` finds, timestamps in the future apart."""
    service, faults = app.extensions["kinto"], list[str]()
    service.storage.check(replace(scope_of(service), latest=LATEST), faults.append, lambda _: None, repair=False)
    return faults


def tables_of(kinto: KintoTables) -> set[str]:
    return {name for (name,) in kinto.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def findings_of(lines: list[str]) -> dict[str, tuple[str, int, str]]:
    """Return the findings by name: whether it is left out or carried over, how many there are, and the examples."""
    findings = [line.split(": ", 2) for line in lines if line.startswith(("Left out: ", "Carried over: "))]
    return {
        numbered.partition(" ")[2]: (fate, int(numbered.partition(" ")[0]), examples)
        for fate, numbered, examples in findings
    }


def test_objects_tombstones_and_clocks_are_those_of_kinto(kinto: KintoTables) -> None:
    """O-PG-9, O-PG-10: the ETag of a list is its newest row, or its first visit where that is later."""
    kinto.add("record", "/buckets/b/collections/c", "r", 1_350, {"f": 1.0, "n": 2**70, "s": "\u00e9"})
    kinto.add("record", "/buckets/b/collections/c", "gone", 1_360, deleted=True)
    kinto.add("bucket", "", "old", 900, deleted=True)

    with taken_over(kinto) as client:
        records = client.get(f"{RECORDS}?_since=1349")
        buckets = client.get("/buckets?_since=1")
        names = ("collections", "groups", "history")
        etags = [client.get(f"/buckets/b/{name}").etag for name in names]

    assert records.data == [
        {"id": "gone", "deleted": True, "last_modified": 1360},
        {"f": 1.0, "n": 2**70, "s": "\u00e9", "id": "r", "last_modified": 1350},
    ]
    assert b"1.0" in records.body
    assert (records.etag, buckets.etag, etags) == (1400, 1000, [1100, 1200, 1000])
    assert kinto.rows("SELECT bucket, last_modified FROM documents WHERE deleted AND uri = '/buckets/old'") == [
        ("/buckets", 900)
    ]


def test_permissions_and_memberships_are_those_of_kinto(kinto: KintoTables) -> None:
    """O-PG-11: what a member of a group may read, and what the user who was never granted anything may not."""
    kinto.grant("/buckets/b/collections/c", "read", "/buckets/b/groups/g")

    with taken_over(kinto) as client:
        assert client.get("/buckets/b").json["permissions"] == {"write": [ALICE]}
        assert client.as_("bob").get(RECORDS).status == 200
        assert client.as_("eve").get(RECORDS).status == 403
        assert client.as_("bob").get("/").json["user"]["principals"].count("/buckets/b/groups/g") == 1
        assert client.put("/buckets/b/groups/g", {"members": []}).status == 200
        assert client.as_("bob").get(RECORDS).status == 403


def test_accounts_log_in_with_the_hashes_of_kinto(kinto: KintoTables) -> None:
    """O-PG-12: also with the prefixes of older versions of bcrypt; a text that is no hash lets nobody in."""
    kinto.add("account", "old", "old", 1_310, {"password": HASH.replace("$2b$", "$2y$"), "email": "old@x"})
    kinto.add("account", "clear", "clear", 1_320, {"password": "secret"})
    kinto.grant("/accounts/old", "write", "account:old")

    with taken_over(kinto) as client:
        users = {
            name: client.ask("GET", "/", headers={"Authorization": basic(name, password)}).json["user"]["id"]
            for name, password in (("ann", "secret"), ("old", "secret"), ("clear", "secret"), ("ann", "wrong"))[::-1]
        }
        own = client.ask("GET", "/accounts/old", headers={"Authorization": basic("old", "secret")})

    assert users == {"ann": "account:ann", "old": "account:old", "clear": user_id("clear", "secret")}
    assert own.data == {"email": "old@x", "id": "old", "last_modified": 1310}


def test_a_client_goes_on_with_its_old_timestamp(kinto: KintoTables) -> None:
    """What it has is not sent again, nothing is missed, and no timestamp that Kinto gave is too old."""
    kinto.add("record", "/buckets/b/collections/c", "r", 1_450)
    kinto.add("record", "/buckets/b/collections/c", "s", 1_460)

    with taken_over(kinto) as client:
        before = client.get(f"{RECORDS}?_since=1450")
        assert client.get(f"{RECORDS}?_since=1460", if_none_match='"1460"').status == 304
        changed = client.put(f"{RECORDS}/r", {"new": True}, if_match='"1450"')
        after = client.get(f"{RECORDS}?_since=1460")

    assert [each["id"] for each in before.data] == ["s"]
    assert changed.status == 200
    assert [each["id"] for each in after.data] == ["r"]
    assert kinto.rows("SELECT DISTINCT since FROM grants WHERE since < 1500") == [(0,)]
    assert kinto.rows(f"SELECT floor FROM clocks WHERE list = '{RECORDS}'") == [(1,)]
    assert kinto.rows("SELECT born FROM documents WHERE uri LIKE '%/r'") == [(1450,)]


def test_history_entries_keep_their_readers(kinto: KintoTables) -> None:
    """O-PG-13."""
    kinto.add(
        "history",
        "/buckets/b",
        "0d1a7d8a-0f4b-4d43-a7fd-5f3a4c0a6e01",
        1_500,
        {"action": "create", "uri": "/buckets/b"},
    )
    kinto.grant("/buckets/b/history/0d1a7d8a-0f4b-4d43-a7fd-5f3a4c0a6e01", "read", BOB)

    with taken_over(kinto) as client:
        assert [each["action"] for each in client.as_("bob").get("/buckets/b/history").data] == ["create"]
        assert client.as_("eve").get("/buckets/b/history").status == 403
        client.put("/buckets/b/collections/d")
        assert [each["last_modified"] > 1500 for each in client.get("/buckets/b/history").data] == [True, False]


UNUSUAL = {
    "objects of other kinds, which this service does not have": ("Left out", 2),
    "objects whose parent is no URI of a bucket or collection": ("Left out", 2),
    "accounts that are stored under the name of another user": ("Left out", 1),
    "objects whose id is empty or has a slash, so that no URI leads to them": ("Left out", 2),
    "objects whose data is no JSON object": ("Left out", 2),
    "objects whose URI is too long for an index": ("Left out", 1),
    "orphans, whose bucket or collection is gone": ("Left out", 4),
    "permissions on objects that are gone or not carried over": ("Left out", 3),
    "permissions of principals that are too long for an index": ("Left out", 1),
    "memberships that no group lists, which end": ("Left out", 1),
    "times of lists that do not exist": ("Left out", 2),
    "rows of the cache": ("Left out", 1),
    "objects with an id that new objects cannot have": ("Carried over", 1),
    "objects with a timestamp out of range, which get new ones": ("Carried over", 2),
    "objects with a timestamp more than a day ahead": ("Carried over", 1),
    "objects with the timestamp of another object of their list": ("Carried over", 2),
    "tombstones with other attributes, which they lose": ("Carried over", 1),
    "objects with an attribute id that is another id": ("Carried over", 1),
    "objects with an attribute last_modified that is another timestamp": ("Carried over", 1),
    "objects with an attribute deleted, which are no tombstones": ("Carried over", 1),
    "groups whose members are no list of texts": ("Carried over", 2),
    "accounts whose password is no bcrypt hash, so nobody can log in": ("Carried over", 2),
    "first visits of lists out of range, which do not count": ("Carried over", 1),
    "permissions of unknown names, which allow nothing": ("Carried over", 1),
    "memberships that Kinto had not noted, which begin": ("Carried over", 1),
}


def add_unusual(kinto: KintoTables) -> None:
    """Add rows of each kind of UNUSUAL."""
    records = "/buckets/b/collections/c"
    kinto.add("attachments", "__attachments__", "a", 1)
    kinto.add("quota", "/buckets/b", "bucket_info", 1, {"record_count": 5})
    kinto.add("bucket", "x", "b", 2)
    kinto.add("record", "/buckets/b", "in-bucket", 2)
    kinto.add("account", "bob", "ann", 2, {"password": HASH})
    kinto.add("record", records, "", 3)
    kinto.add("record", records, "a/b", 4)
    kinto.add("record", records, "array", 5, "[1]")
    kinto.add("collection", "/buckets/b", "null", 5, "null")
    kinto.add("record", "/buckets/b/collections/null", "below", 5)
    kinto.add("record", records, "x" * 1_500, 6)
    kinto.add("collection", "/buckets/dead", "c", 7)
    kinto.add("record", "/buckets/dead/collections/c", "r", 7)
    kinto.add("record", "/buckets/b/collections/dead", "r", 7, deleted=True)
    kinto.add("bucket", "", "dead", 8, deleted=True)
    kinto.grant("/buckets/dead/collections/c", "read", "system.Everyone")
    kinto.grant("/buckets/dead", "read", "system.Everyone")
    kinto.grant(f"{RECORDS}/array", "read", "system.Everyone")
    kinto.grant("/buckets/b", "read", "y" * 2_490)
    kinto.grant("/buckets/b", "rule", ALICE)
    kinto.join("left", "/buckets/b/groups/g")
    kinto.add("group", "/buckets/b", "h", 9, {"members": ["new", 5]})
    kinto.add("group", "/buckets/b", "i", 10, {"members": "all"})
    kinto.visit("record", "*", 11)
    kinto.visit("collection", "/buckets/none", 11)
    kinto.execute("INSERT INTO timestamps VALUES ('/buckets/b', 'group', 'infinity')")
    kinto.execute("INSERT INTO cache VALUES ('k', '1', NULL)")
    kinto.add("record", records, "line\n", 12)
    kinto.add("record", records, "negative", -5)
    kinto.add("record", records, "beyond", 253402300800000)
    kinto.add("record", "/buckets/b/collections/ahead", "ahead", 32503680000000)
    kinto.add("collection", "/buckets/b", "ahead", 13)
    kinto.add("record", records, "twin1", 14.1)
    kinto.add("record", records, "twin2", 14.2)
    kinto.add("record", records, "ghost", 15, {"deleted": True, "x": 1}, deleted=True)
    kinto.add("record", records, "odd", 16, {"id": "other", "last_modified": 1, "deleted": "no"})
    kinto.add("account", "clear", "clear", 17, {"password": "secret"})
    kinto.add("account", "without", "without", 18)


def test_what_is_unusual_is_named_whether_it_is_carried_over_or_not(kinto: KintoTables, tmp_path: Path) -> None:
    """O-PG-17: nothing is dropped silently; `--report` has all of it."""
    add_unusual(kinto)

    simulated = take_over(kinto, dry_run=True)
    lines = take_over(kinto, Takeover(findings_file=tmp_path / "report"))

    assert {name: fate[:2] for name, fate in findings_of(lines).items()} == UNUSUAL
    assert findings_of(simulated) == findings_of(lines)
    assert len((tmp_path / "report").read_text().splitlines()) == sum(count for _, count in UNUSUAL.values())


def test_unusual_objects_are_served(kinto: KintoTables) -> None:
    add_unusual(kinto)

    with taken_over(kinto) as client:
        listed = {each["id"]: each for each in client.get(f"{RECORDS}?_since=1").data}
        clock = client.get(RECORDS).etag
        older = client.get(f"{RECORDS}?_since=253402300800000")
        clear = client.ask("GET", "/", headers={"Authorization": basic("clear", "secret")})
        written = client.put(f"{RECORDS}/later")
        faults = faults_of(client.app)

    assert set(listed) == {"line\n", "negative", "beyond", "twin1", "twin2", "ghost", "odd"}
    assert listed["ghost"] == {"id": "ghost", "deleted": True, "last_modified": 15}
    assert listed["odd"] == {"id": "odd", "deleted": "no", "last_modified": 16}
    assert listed["twin1"]["last_modified"] == listed["twin2"]["last_modified"] == 14
    assert listed["negative"]["last_modified"] < listed["beyond"]["last_modified"] == clock
    assert {each["id"] for each in older.data} >= {"negative", "beyond"}
    assert clear.json["user"]["id"].startswith("basicauth:")
    assert written.data["last_modified"] > clock
    assert [fault.partition(": ")[0] for fault in faults] == [f"{RECORDS}/twin2"]


def test_orphans_get_new_parents_without_permissions(kinto: KintoTables) -> None:
    """O-PG-17: `--keep-orphans`; a tombstone of the former parent is replaced."""
    kinto.add("record", "/buckets/dead/collections/c", "r", 7, {"a": 1})
    kinto.add("record", "/buckets/b/collections/lost", "r", 7)
    kinto.add("bucket", "", "dead", 2_000, deleted=True)
    kinto.grant("/buckets/dead/collections/c/records/r", "read", BOB)
    kinto.grant("/buckets/dead", "write", "system.Everyone")

    lines = take_over(kinto, Takeover(keep_orphans=True))
    with application(kinto) as app:
        client = Client(app)
        record = client.as_("bob").get("/buckets/dead/collections/c/records/r")
        alice_sees = [client.get(uri).status for uri in ("/buckets/dead", "/buckets/dead/collections/c")]
        buckets = client.get("/buckets")
        faults = faults_of(app)

    assert findings_of(lines)["orphans that get new parents"][1] == 2
    assert record.data == {"a": 1, "id": "r", "last_modified": 7}
    assert alice_sees == [403, 403]
    assert buckets.etag > 2_000
    assert faults == []


def test_kintos_tables_are_untouched(kinto: KintoTables) -> None:
    """O-PG-18: not even rewritten."""
    add_unusual(kinto)
    before = kinto.contents()

    take_over(kinto)

    assert kinto.contents() == before


def test_a_dry_run_writes_nothing(kinto: KintoTables) -> None:
    """O-PG-15, O-CLI-16: it counts, also beside a writer of Kinto."""
    before = tables_of(kinto)
    with kinto.cursor() as cursor:
        cursor.execute("LOCK TABLE objects IN ROW EXCLUSIVE MODE")
        lines = take_over(kinto, dry_run=True)

    assert "bucket objects                     1           0           0           1" in lines
    assert lines[-1] == "Takeover of the data of Kinto simulated: nothing was written."
    assert tables_of(kinto) == before


def test_a_killed_takeover_has_done_nothing_and_can_be_repeated(kinto: KintoTables) -> None:
    """O-PG-15: one transaction, from the first table on."""
    before = tables_of(kinto)
    command = [sys.executable, "-m", "scripts", "migrate"]
    environment = {**as_environment({**SETTINGS, "kinto.storage_url": kinto.url}), "PYTHONPATH": str(ROOT)}
    with kinto.cursor() as cursor:
        cursor.execute("LOCK TABLE cache IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
        while not kinto.rows("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'cache'::regclass"):
            assert process.poll() is None
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    while kinto.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"):
        time.sleep(0.05)
    assert tables_of(kinto) == before
    take_over(kinto)
    assert tables_of(kinto) == before | OURS


def test_a_difference_rolls_everything_back(kinto: KintoTables) -> None:
    """O-PG-15: here because Kinto's own function and we disagree about timestamps."""
    kinto.execute(
        "CREATE OR REPLACE FUNCTION as_epoch(ts timestamp) RETURNS bigint IMMUTABLE LANGUAGE sql"
        " AS 'SELECT (extract(epoch FROM ts) * 1000)::bigint + 1'"
    )
    before = tables_of(kinto)

    with pytest.raises(SchemaError, match=r"differ from Kinto's: /accounts \(newest 1301, here 1300\), /buckets"):
        take_over(kinto)

    assert tables_of(kinto) == before


def test_a_second_migrate_says_that_it_is_done(kinto: KintoTables) -> None:
    """O-PG-15, O-CLI-15."""
    take_over(kinto)
    contents = kinto.rows("SELECT uri, xmin::text FROM documents ORDER BY 1")

    lines = take_over(kinto)

    assert lines[0].startswith("The data of Kinto were taken over at ")
    assert kinto.rows("SELECT uri, xmin::text FROM documents ORDER BY 1") == contents


def test_a_start_is_refused_before_the_takeover(kinto: KintoTables) -> None:
    with pytest.raises(SettingError, match='Run "kinto migrate" first'), application(kinto):
        pass

    take_over(kinto)
    with application(kinto):
        kinto.execute(
            "DROP TABLE documents, grants, members, clocks, indexes, kinto_flask_versions, kinto_flask_takeover"
        )
    with pytest.raises(SettingError, match='Run "kinto migrate" first'), application(kinto):
        pass


@pytest.mark.parametrize("fully", [False, True], ids=["a new object", "an object with a timestamp in the past"])
def test_what_kinto_wrote_after_the_takeover_is_refused_until_it_is_taken_over_again(
    kinto: KintoTables, fully: bool
) -> None:
    take_over(kinto)
    kinto.visit("collection", "/buckets/b", 5_000)  # a visitor who only reads does no harm
    with application(kinto):
        pass

    kinto.add("record", "/buckets/b/collections/c", "late", 500 if fully else 2_000)

    if not fully:
        with pytest.raises(SettingError, match=r"late\. If nothing was written"), application(kinto):
            pass
    with pytest.raises(SchemaError, match="Kinto wrote to its tables after they were taken over"):
        take_over(kinto)
    with taken_over(kinto, Takeover(again=True)) as client:
        assert [each["id"] for each in client.get(RECORDS).data] == ["late"]
    take_over(kinto)


def test_nothing_that_was_written_here_is_lost_to_another_takeover(kinto: KintoTables) -> None:
    with taken_over(kinto) as client:
        client.put(f"{RECORDS}/mine")
    kinto.add("record", "/buckets/b/collections/c", "late", 2_000)

    with pytest.raises(SchemaError, match="was written to after the takeover"):
        take_over(kinto, Takeover(again=True))

    assert kinto.rows(f"SELECT uri FROM documents WHERE list = '{RECORDS}'") == [(f"{RECORDS}/mine",)]


def test_the_time_zone_of_the_session_does_not_matter(kinto: KintoTables) -> None:
    """O-PG-8, O-PG-16: the numbers that clients saw; later ones are above them, wherever Kinto's clock was."""
    ahead = time.time_ns() // 1_000_000 + 7_200_000
    kinto.add("record", "/buckets/b/collections/c", "r", ahead)
    name = kinto.rows("SELECT current_database()")[0][0]
    kinto.execute(f"ALTER DATABASE {name} SET timezone TO 'Asia/Tokyo'")
    try:
        with taken_over(kinto) as client:
            assert client.get(RECORDS).etag == ahead
            assert client.put(f"{RECORDS}/s").data["last_modified"] == ahead + 1
    finally:
        kinto.execute(f"ALTER DATABASE {name} RESET timezone")


def test_indexes_that_a_collection_declares_are_left_to_the_index_builder(kinto: KintoTables) -> None:
    kinto.add("collection", "/buckets/b", "d", 1_500, {"indexes": [{"fields": ["n"]}, {"text": ["t"]}]})
    kinto.add("collection", "/buckets/b", "e", 1_600, {"indexes": "many"})
    kinto.add("record", "/buckets/b/collections/d", "r", 1_700, {"n": 1, "t": "word"})

    lines = take_over(kinto)
    service = new_service(kinto)
    service.storage.build_indexes(lambda line: None)
    service.close()

    assert '2 declared indexes will be built by the servers, or by "kinto index".' in lines
    assert kinto.rows("SELECT slot, state FROM indexes ORDER BY slot") == [(1, "ready"), (5, "ready")]


def test_tables_that_were_made_by_hand_are_filled(kinto: KintoTables) -> None:
    """O-PG-36: `kinto migrate --sql` prints the tables alone; before the takeover no server starts on them."""
    kinto.execute(sql("postgresql").replace("BEGIN;", "").replace("COMMIT;", ""))
    with pytest.raises(SettingError, match='Run "kinto migrate" first'), application(kinto):
        pass

    take_over(kinto)

    assert kinto.rows("SELECT count(*) FROM documents WHERE bucket <> uri") == [(4,)]


def test_a_database_of_kinto_without_objects_is_taken_over(empty_postgresql_url: str) -> None:
    kinto = KintoTables(empty_postgresql_url)

    with taken_over(kinto) as client:
        assert client.put("/buckets/b").status == 201


def test_quotas_count_what_was_taken_over_once(kinto: KintoTables) -> None:
    kinto.add("record", "/buckets/b/collections/c", "r", 1_700, {"n": 1})
    take_over(kinto)
    service = new_service(kinto)
    counted = []
    for _ in range(2):
        for step in service.migration_steps:
            step()
        counted.append(kinto.rows("SELECT uri, record_count, storage_size, xmin::text FROM quotas ORDER BY uri"))
    service.close()

    record = len('{"n":1,"id":"r","last_modified":1700}')
    collection = len('{"id":"c","last_modified":1100}')
    assert counted[0][1][:3] == ("/buckets/b/collections/c", 1, collection + record)
    assert counted[0] == counted[1]


@pytest.mark.parametrize("version", ["25", "27"])
def test_other_versions_of_kinto_are_refused(kinto: KintoTables, version: str) -> None:
    """O-PG-14."""
    kinto.execute("UPDATE metadata SET value = %s WHERE name = 'storage_schema_version'", version)
    before = tables_of(kinto)

    with pytest.raises(SchemaError, match=f"This is a Kinto database of schema {version}"):
        take_over(kinto)

    assert tables_of(kinto) == before


def test_a_table_of_another_program_is_not_dropped(kinto: KintoTables) -> None:
    kinto.execute("CREATE TABLE members (name text)")

    with pytest.raises(SchemaError, match="tables named members that are not ours"):
        take_over(kinto)

    assert kinto.rows("SELECT * FROM members") == []


def test_a_writer_of_kinto_that_does_not_end_stops_the_takeover(kinto: KintoTables) -> None:
    with kinto.cursor() as cursor:
        cursor.execute("INSERT INTO objects VALUES ('r', '/buckets/b/collections/c', 'record', now(), '{}', false)")
        with pytest.raises(Busy, match="lock timeout"):
            take_over(kinto)

    assert not OURS & tables_of(kinto)
