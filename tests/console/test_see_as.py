"""The console as somebody else may see it: computed from what the user may see, checked against the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
import requests
from playwright.sync_api import Request, expect

from tests.console.tabs import PASSWORD, Tab

Open = Callable[..., Tab]
User = Callable[[str], str]
EVERYONE: Final = "system.Everyone"
AUTHENTICATED: Final = "system.Authenticated"
STALE: Final = {"If-Match": '"1"'}
"""Changes nothing: a write that is permitted is 412."""
CREATED: Final = {
    "collection:create": "collections/new",
    "group:create": "groups/new",
    "record:create": "records/new",
}
_LISTS: Final = {"bucket": "collections", "collection": "records"}
_COMPUTE: Final = """async ([principal, paths]) => {
  const { PermissionReader } = await import("./core/permissions.js");
  const access = await new PermissionReader().access(principal, paths);
  return Object.fromEntries([...access].map(([path, { rights, doubts }]) =>
    [path, [[...rights.keys()], [...doubts.keys()]]]));
}"""
_WRITE: Final = """async (path) => {
  const { batch, send } = await import("./core/api.js");
  const tries = await Promise.allSettled([send("DELETE", path), batch([{ method: "DELETE", path }])]);
  return tries.map((each) => each.reason?.status);
}"""


@dataclass(frozen=True)
class Person:
    """Somebody for whom access is computed, and by whom the server is asked."""

    principal: str
    name: str | None

    def ask(self, url: str, members: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Send requests in batches of 25; return the responses."""
        auth = None if self.name is None else (self.name, PASSWORD)
        responses: list[dict[str, Any]] = []
        for start in range(0, len(members), 25):
            body = {"requests": members[start : start + 25]}
            reply = requests.post(f"{url}/batch", json=body, auth=auth, timeout=30)
            reply.raise_for_status()
            responses += reply.json()["responses"]
        return responses


def _kind(path: str) -> str:
    return path.split("/")[-2].removesuffix("s")


def _objects(bucket: str, bob: str, carol: str) -> dict[str, tuple[dict[str, Any], dict[str, list[str]]]]:
    """Return attributes and permissions of objects by their paths: every way to a right that there is."""
    first, second, third = (f"/buckets/{bucket}{suffix}" for suffix in ("", "-2", "-3"))
    readers, everybody, outsiders = (f"{first}/groups/{name}" for name in ("readers", "everybody", "outsiders"))
    return {
        readers: ({"members": [bob]}, {}),
        everybody: ({"members": [AUTHENTICATED]}, {}),
        outsiders: ({"members": [carol]}, {}),
        f"{first}/groups/own": ({"members": [bob]}, {"write": [f"{first}/groups/own"]}),
        f"{first}/groups/open": ({"members": []}, {"read": [AUTHENTICATED]}),
        f"{first}/collections/plain": ({}, {}),
        f"{first}/collections/plain/records/r": ({}, {}),
        f"{first}/collections/plain/records/written": ({}, {"write": [bob]}),
        f"{first}/collections/plain/records/public": ({}, {"read": [EVERYONE]}),
        f"{first}/collections/by-group": ({}, {"read": [readers]}),
        f"{first}/collections/by-group/records/r": ({}, {}),
        f"{first}/collections/by-everybody": ({}, {"write": [everybody]}),
        f"{first}/collections/by-everybody/records/r": ({}, {}),
        f"{first}/collections/inbox": ({}, {"record:create": [carol]}),
        f"{first}/collections/inbox/records/r": ({}, {}),
        f"{first}/collections/public": ({}, {"read": [EVERYONE]}),
        f"{first}/collections/public/records/r": ({}, {}),
        second: ({}, {"write": [outsiders]}),
        f"{second}/collections/c": ({}, {}),
        f"{second}/collections/c/records/r": ({}, {"read": [f"{second}/groups/absent"]}),
        third: ({}, {"read": [bob], "collection:create": [carol], "group:create": [AUTHENTICATED]}),
        f"{third}/groups/g": ({"members": [carol]}, {}),
        f"{third}/collections/c": ({}, {}),
        f"{third}/collections/c/records/r": ({}, {}),
    }


@pytest.fixture
def more_buckets(alice: str, bucket: str, server_url: str) -> Iterator[None]:
    """Delete the other buckets of a test: what they share with everyone must not be there for strangers."""
    yield
    for suffix in ("-2", "-3"):
        requests.delete(f"{server_url}/buckets/{bucket}{suffix}", auth=(alice, PASSWORD), timeout=60)


def _allowed(person: Person, url: str, paths: list[str], sizes: dict[str, int]) -> dict[str, set[str]]:
    """Return the rights on objects that the server grants a person, by trying them; *sizes* are those of the lists."""
    members: list[dict[str, Any]] = []
    meanings: list[tuple[str, str]] = []

    def probe(path: str, right: str, member: dict[str, Any]) -> None:
        meanings.append((path, right))
        members.append(member)

    for path in paths:
        kind = _kind(path)
        probe(path, "see", {"method": "GET", "path": path})
        probe(path, "write", {"method": "PATCH", "path": path, "headers": STALE, "body": {"data": {}}})
        if kind in _LISTS:
            probe(path, "list", {"method": "HEAD", "path": f"{path}/{_LISTS[kind]}"})
        for right, child in CREATED.items():
            if (kind == "collection") == (right == "record:create") and kind in _LISTS:
                probe(path, right, {"method": "PUT", "path": f"{path}/{child}", "headers": STALE, "body": {"data": {}}})
    rights: dict[str, set[str]] = {path: set() for path in paths}
    for (path, right), response in zip(meanings, person.ask(url, members), strict=True):
        status = response["status"]
        assert status in {200, 401, 403, 412}, (path, right, response)
        if right == "list":
            # Who may not read a list gets no more than the objects in it that are shared.
            whole = status == 200 and int(response["headers"]["Total-Objects"]) == sizes[path]
            rights[path] |= {"read"} if whole else set()
        elif right == "see":
            rights[path] |= {"see"} | (set() if _kind(path) in _LISTS else {"read"}) if status == 200 else set()
        elif status == 412:
            rights[path].add(right)
    return rights


@pytest.mark.usefixtures("more_buckets")
def test_what_is_computed_for_people_is_what_the_server_grants_them(
    open_tab: Open, alice: str, bucket: str, user: User
) -> None:
    """No right is claimed that the server denies, and none is missed; where something is hidden, it is unknown."""
    people = [Person(f"account:{name}", name) for name in map(user, ("bob", "carol", "dave"))]
    bob, carol, _ = people
    tab = open_tab(alice).open()
    url, objects = tab.server_url, _objects(bucket, bob.principal, carol.principal)
    owner = Person(f"account:{alice}", alice)
    for path, (data, permissions) in sorted(objects.items()):
        tab.ask("PUT", path, json={"data": data, "permissions": permissions})
    hidden = f"/buckets/{bucket}/collections/inbox/records/of-carol"
    assert carol.ask(url, [{"method": "PUT", "path": hidden}])[0]["status"] == 201
    paths = [f"/buckets/{bucket}", *objects, hidden]
    lists = [path for path in paths if _kind(path) in _LISTS]
    totals = owner.ask(url, [{"method": "HEAD", "path": f"{path}/{_LISTS[_kind(path)]}"} for path in lists])
    sizes = {path: int(reply["headers"]["Total-Objects"]) for path, reply in zip(lists, totals, strict=True)}

    for person in [*people, Person(EVERYONE, None)]:
        computed = tab.page.evaluate(_COMPUTE, [person.principal, paths])
        allowed = _allowed(person, url, paths, sizes)

        visible = {path: {*rights, "see"} if rights else set() for path, (rights, _) in computed.items()}
        assert {path: visible[path] for path in paths if path != hidden} == {
            path: allowed[path] for path in paths if path != hidden
        }, person
        assert {path for path, (_, doubts) in computed.items() if doubts} == {hidden}
        assert computed[hidden] == [[], ["read", "write"]]


def _members(sent: list[Request]) -> list[dict[str, Any]]:
    """Return the requests in all batches."""
    batches = [json.loads(request.post_data or "") for request in sent if request.url.endswith("/batch")]
    return [member for batch in batches for member in batch["requests"]]


def test_the_whole_console_is_seen_as_a_member_of_a_group(open_tab: Open, alice: str, bucket: str) -> None:
    """Marks with reasons everywhere, nothing to edit, and not one request that writes or has other credentials."""
    group, path = f"/buckets/{bucket}/groups/editors", f"/buckets/{bucket}/collections/tasks"
    tab = open_tab(alice)
    tab.put(group, members=["account:gina"])
    tab.put(f"/buckets/{bucket}/collections/secret")
    tab.put(f"/buckets/{bucket}/collections/secret/records/s", title="Secret")
    tab.put(f"{path}/records/r", title="Shared")
    tab.put(f"{path}/records/gone", title="Gone")
    tab.ask("DELETE", f"{path}/records/gone")
    tab.ask("PATCH", path, json={"permissions": {"write": [group]}})
    page = tab.page
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if "/admin/" not in request.url else None)
    tab.open(f"/buckets/{bucket}/groups/editors")
    tab.button("See as account:gina").click()

    banner = page.get_by_role("region", name="See as")
    expect(banner).to_contain_text("You see this as account:gina")
    expect(page.get_by_label("Add a member")).to_be_disabled()
    side = page.get_by_role("navigation", name="Buckets and pages")
    expect(side.get_by_role("button", name=f"write : {bucket}/tasks")).to_be_visible()
    expect(side.get_by_role("button", name=f"cannot see this : {bucket}/secret")).to_be_visible()
    page.reload()
    tab.open("/")
    expect(page.get_by_role("main").get_by_role("button", name=f"cannot see this : {bucket}")).to_be_visible()
    tab.open(f"/buckets/{bucket}/collections")
    expect(page.get_by_role("row", name="secret")).to_contain_text("cannot see this")
    sent.clear()
    tab.open(path)
    mark = tab.rows().get_by_role("button", name="may write")
    mark.focus()
    page.keyboard.press("Enter")
    reasons = page.get_by_role("dialog")
    expect(reasons).to_contain_text(f"Write on the collection {bucket}/tasks, as a member of the group editors")
    page.keyboard.press("Escape")
    expect(mark).to_be_focused()
    assert [each["path"] for each in _members(sent)] == [f"{path}/records/r"]

    views = ("permissions", "create", "import", "deleted", "records/r")
    for route in ("/", "/accounts", *(f"{path}/{view}" for view in views)):
        tab.open(route).settle()
        for name in ("Create", "Save", "Delete", "Import", "Share", "Change password", "Restore"):
            expect(page.get_by_role("main").get_by_role("button", name=name)).to_have_count(0)
    page.keyboard.press("Control+s")
    assert page.evaluate(_WRITE, f"{path}/records/r") == [403, 403]
    methods = {request.method for request in sent if "batch" not in request.url}
    methods |= {each["method"] for each in _members(sent)}
    assert methods <= {"GET", "HEAD"}
    assert len({request.headers["authorization"] for request in sent}) == 1

    tab.button("Stop").click()
    expect(banner).to_have_count(0)
    expect(tab.button("Save")).to_be_visible()
    tab.ask("PATCH", path, json={"permissions": {"write": [], "read": [group]}})
    tab.see_as("gina")
    expect(side.get_by_role("button", name=f"read : {bucket}/tasks")).to_be_visible()


def test_what_the_user_cannot_see_is_unknown(open_tab: Open, alice: str, bucket: str, user: User) -> None:
    """A reader, who sees no permissions, is told so for each object: never that somebody may do nothing."""
    owner, bob = open_tab(alice), user("bob")
    owner.put(f"/buckets/{bucket}/collections/tasks/records/r", title="a")
    owner.ask("PATCH", f"/buckets/{bucket}", json={"permissions": {"read": [f"account:{bob}"]}})
    tab = open_tab(bob).open(f"/buckets/{bucket}/collections/tasks")
    tab.see_as("carol")

    tab.rows().get_by_role("button", name="unknown").click()
    reasons = tab.page.get_by_role("dialog")
    expect(reasons).to_contain_text("Unknown: Read, Write.")
    expect(reasons).to_contain_text(f"the permissions of the collection {bucket}/tasks")
    expect(reasons).to_contain_text("Settings of the server may give more")
    expect(tab.page.get_by_text("cannot see this")).to_have_count(0)
    reasons.get_by_role("link", name="The permissions of the record").click()
    row = tab.page.get_by_role("row", name="account:carol")
    expect(row).to_contain_text("Unknown: Read, Write.")


def test_a_change_of_members_says_what_it_changes(open_tab: Open, alice: str, bucket: str) -> None:
    """Before it is saved; a right that a member has otherwise is not lost."""
    group, path = f"/buckets/{bucket}/groups/editors", f"/buckets/{bucket}/collections/tasks"
    tab = open_tab(alice)
    tab.put(group, members=["account:bob", "account:rita"])
    tab.put(f"{path}/records/r", title="a")
    tab.ask("PATCH", path, json={"permissions": {"write": [group, "account:rita"]}})
    tab.ask("PATCH", f"{path}/records/r", json={"permissions": {"read": [group]}})
    tab.open(group)
    page = tab.page
    short = f"{bucket}/tasks"
    bob, rita = (
        page.get_by_role("listitem").filter(has=page.get_by_label(f"Remove {each}"))
        for each in ("account:bob", "account:rita")
    )
    expect(bob).to_contain_text(f"By this group alone: read and write the collection {short}")
    expect(rita).to_contain_text("Has no right by this group alone")

    for name in ("bob", "rita"):
        page.get_by_label(f"Remove account:{name}").click()
    page.get_by_label("Add a member").fill("dora")
    tab.button("Add").click()

    changes = page.locator("form").get_by_role("status").filter(has_text="If you save")
    expect(changes.get_by_role("listitem")).to_have_text(
        [
            f"account:bob can no longer read or write the collection {short}.",
            f"account:bob can no longer read or write the record {short}/r.",
            "For account:rita nothing changes that you can see.",
            f"account:dora can read and write the collection {short} from now on.",
            f"account:dora can read and write the record {short}/r from now on.",
        ]
    )
    tab.button("Save").click()
    tab.notice("Saved.")
    expect(changes).to_have_count(0)
    page.get_by_role("link", name=f"Read on the record {short}/r").click()
    reasons = page.get_by_role("region", name="Who can do what, and why")
    source = reasons.get_by_role("row", name="account:dora").get_by_role(
        "link", name="as a member of the group editors"
    )
    expect(source.first).to_have_attribute("href", f"#{group}/attributes")
