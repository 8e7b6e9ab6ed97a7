"""The calls of storage, permission and cache backends, by their names in metrics.

The backends here have fewer methods than Kinto's: one statement may do the work of several of these calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from backends.metrics import Labels


# All instances are created here and compared by identity: they are hashed often in each request.
@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call: `guide` is its method in the production guide, `kinto` in Kinto 26.5; None if there is none."""

    part: str
    guide: str | None
    kinto: str | None


GET: Final = Call("storage", "get", "get")
GET_ALL: Final = Call("storage", "get_all", "list_all")
COUNT_ALL: Final = Call("storage", "get_all", "count_all")
TIMESTAMP: Final = Call("storage", "collection_timestamp", "resource_timestamp")
CREATE: Final = Call("storage", "create", "create")
UPDATE: Final = Call("storage", "update", "update")
DELETE: Final = Call("storage", "delete", "delete")
DELETE_ALL: Final = Call("storage", "delete_all", "delete_all")
PURGE: Final = Call("storage", None, "purge_deleted")
FLUSH: Final = Call("storage", None, "flush")
PING: Final = Call("storage", "ping", None)

CHECK: Final = Call("permission", "check_permission", "check_permission")
PRINCIPALS: Final = Call("permission", "user_principals", "get_user_principals")
GRANTS: Final = Call("permission", "object_permission_principals", "get_object_permissions")
ACCESSIBLE: Final = Call("permission", "object_permission_principals", "get_accessible_objects")
GRANT: Final = Call("permission", "add_principal_to_ace", "add_principal_to_ace")
REVOKE: Final = Call("permission", "remove_principal_from_ace", "remove_principal_from_ace")
REVOKE_OBJECT: Final = Call("permission", "remove_principal_from_ace", "delete_object_permissions")
REVOKE_PRINCIPAL: Final = Call("permission", "remove_principal_from_ace", "remove_principal")
JOIN: Final = Call("permission", "add_user_principal", "add_user_principal")
LEAVE: Final = Call("permission", "remove_user_principal", "remove_user_principal")

CACHE_GET: Final = Call("cache", "get", "get")
CACHE_SET: Final = Call("cache", "set", "set")
CACHE_DELETE: Final = Call("cache", "delete", "delete")
CACHE_EXPIRE: Final = Call("cache", "expire", "expire")
CACHE_TTL: Final = Call("cache", "ttl", "ttl")
CACHE_FLUSH: Final = Call("cache", None, "flush")
CACHE_PING: Final = Call("cache", "ping", None)


def calls() -> Iterator[Call]:
    """Yield all calls."""
    yield from (value for value in globals().values() if isinstance(value, Call))


def backend_timer(call: Call) -> tuple[str, Labels]:
    """Return name and labels of the timer of a call in Kinto 26.5."""
    return f"backend.{call.part}.seconds", (("method", call.kinto or ""),)
