"""The facts that checks need about the service whose rows they look at."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CheckScope:
    """The facts about a service on which it depends whether a row is wrong.

    - `now` is the present in ms; timestamps from 0 to `latest` are in range.
    - `derived` has the derived lists, as in `Storage.transaction`.
    - `groups` has the LIKE patterns of lists whose objects have members.
    - `users` has the lists of objects that are users, by the beginning of their principals: `account:` `/accounts`.
    """

    now: int
    latest: int
    derived: Collection[tuple[str, str]] = ()
    groups: Sequence[str] = ()
    users: Mapping[str, str] = field(default_factory=dict)
