"""What is stored: an object, the clock of a list, the state of a user."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from backends import Json
from backends.codec import loads

LIVING: Final = 9223372036854775807
"""What `until` says of a grant or a membership that has not ended."""

LATEST: Final = 253402300799999
"""The greatest timestamp in ms that the tables hold, the end of the year 9999: there is no later HTTP date.

The greatest that a client may choose is a year earlier (`app.decisions.saving.LAST_TIMESTAMP`): its list can go on.
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object, or its tombstone, as it is stored: `text` is its JSON document with `id` and `last_modified`.

    `born` is the timestamp that its list gave to the write that first created it: updates, the tombstone and creation
    anew keep it (`app.decisions.working_set`).
    """

    uri: str
    timestamp: int
    deleted: bool
    born: int
    text: str

    @property
    def id(self) -> str:
        """Return the last segment of the URI."""
        return self.uri[self.uri.rindex("/") + 1 :]

    def data(self) -> dict[str, Json]:
        """Return the decoded document, each time a new one."""
        document: dict[str, Json] = loads(self.text)
        return document


@dataclass(frozen=True, slots=True)
class Clock:
    """A list's clock: its newest timestamp in ms, and how many living objects it holds.

    `former` is the highest timestamp that the list had before `kinto check --repair` set its clock back, else 0.
    """

    last_modified: int
    count: int
    former: int = 0

    def outdates(self, since: int) -> bool:
        """Say whether a client that synchronised up to *since* did so before the clock was set back.

        Once the clock has passed `former` again, what the list gave out before and after cannot be told apart.
        """
        return 0 < since <= self.former and (since > self.last_modified or self.former <= self.last_modified)


@dataclass(frozen=True, slots=True)
class User:
    """The object of a user: its URI, and the member of its document that holds the secret (a password's hash)."""

    uri: str
    member: str


@dataclass(frozen=True, slots=True)
class UserState:
    """What a login depends on: when the user's object was created, and its secret (None: not a string)."""

    born: int
    secret: str | None = field(repr=False)
