"""The values that are stored: an object, the clock of a list, the state of a user."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from backends import Json
from backends.codec import loads
from backends.storage.keys import id_of

LIVING: Final = 9223372036854775807
"""The value of `until` in a grant or a membership that has not ended."""

LATEST: Final = 253402300799999
"""The greatest timestamp in ms that the tables accept: the end of the year 9999, the last HTTP date.

The greatest timestamp that a client may choose is a year earlier (`app.decisions.saving.LAST_TIMESTAMP`), so that the
clock of its list can still advance.
"""


class Stored(NamedTuple):
    """An object or its tombstone; `text` is its JSON document with `id` and `last_modified`.

    A named tuple: a long list makes thousands, and a frozen dataclass takes more than twice as long.

    `born` is the timestamp that the list gave to the write that first created the object. Updates, deletion and
    re-creation keep it (`app.decisions.working_set`).
    """

    uri: str
    timestamp: int
    deleted: bool
    born: int
    text: str

    @property
    def id(self) -> str:
        """Return the last segment of the URI."""
        return id_of(self.uri)

    def data(self) -> dict[str, Json]:
        """Return the decoded document, a new one for each call."""
        document: dict[str, Json] = loads(self.text)
        return document


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of a list: its newest timestamp in ms, and the number of its living objects.

    `former` is the highest timestamp that the list had before `kinto check --repair` set its clock back, else 0.
    """

    last_modified: int
    count: int
    former: int = 0

    def outdates(self, since: int) -> bool:
        """Return whether a client that synchronised up to *since* did so before the clock was set back.

        Once the clock has passed `former` again, timestamps from before and from after the repair cannot be
        distinguished.
        """
        return 0 < since <= self.former and (since > self.last_modified or self.former <= self.last_modified)


@dataclass(frozen=True, slots=True)
class User:
    """The object of a user: its URI, and the field of its document that holds the secret (the hash of a password)."""

    uri: str
    secret_field: str


@dataclass(frozen=True, slots=True)
class UserState:
    """The facts that a remembered login depends on: when the user's object was created, and its secret.

    `secret` is None where the field of the document is missing or no string.
    """

    born: int
    secret: str | None = field(repr=False)
