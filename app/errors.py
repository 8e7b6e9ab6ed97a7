"""Every error that a client can see: one class each, with HTTP status, errno and message (core contract, section 3).

ApiError
├── Invalid             400  errno 107   an error in path, query, headers or body
│   ├── NotAcceptable   406
│   └── UnsupportedType 415
├── Malformed           400  errno 107   path or query that is not UTF-8, a body that did not arrive whole
├── Unauthenticated     401  errno 104
├── Forbidden           403  errno 121
├── Unknown             404  errno 110   no such object
├── UnknownParent       404  errno 111   no such parent bucket or collection
├── NoSuchUrl           404  errno 111
├── NoSuchVersion       404  errno 116
├── NotAllowed          405  errno 115
├── Clash               409  errno 122
├── Taken               409  errno 122   a value of a unique index that another object has
├── TimedOut            408  errno 107   a body did not arrive in time
├── Gone                410  errno 202
├── LengthRequired      411  errno 112   a body without a length, on a server that cannot find its end
├── Modified            412  errno 114
├── TooManyFailures     429  errno 117   wrong passwords
├── Programmatic        500  errno 999
├── Unavailable         503  errno 201
│   └── Contended       503              a lock was not available in time
└── ForeignError        an HTTP error of a plugin's view, with its own status
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Final

from backends import Json

MAX_PROBLEMS: Final = 20
"""The most problems that an error lists. One more entry counts the others."""

MAX_TEXT: Final = 1_000
"""The most characters of a name, a description or a message in an error: they quote the client's input."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a request: its location (`path`, `querystring`, `header`, `body`), name and description.

    The name is an integer only for an element of an array that fails a JSON schema (core contract, 10.3). `omitted`
    is the number of problems that an entry counts instead of listing, 0 for a single problem.
    """

    location: str
    name: str | int | None
    description: str
    omitted: int = 0

    def message(self) -> str:
        """Return the problem as the text of an error's `message` (C-ERR-16)."""
        if self.name is None:
            return f"{self.location}: {self.description}"
        if str(self.name) in self.description:
            return self.description
        return f"{self.name} in {self.location}: {self.description}"

    def shorten(self) -> Problem:
        """Return the problem with its texts cut to `MAX_TEXT` characters."""
        name = shorten(self.name) if isinstance(self.name, str) else self.name
        return Problem(self.location, name, shorten(self.description), self.omitted)


def shorten(text: str) -> str:
    """Return the text, cut to `MAX_TEXT` characters if it is longer."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


def first_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the first `MAX_PROBLEMS` problems, and an entry with the number of the others if there are any.

    A lazy iterable is never held in memory as a whole.
    """
    remaining = iter(problems)
    entries = tuple(islice(remaining, MAX_PROBLEMS))
    omitted = sum(1 for _ in remaining)
    return (*entries, *count_unlisted(entries[-1].location, omitted)) if omitted else entries


def count_unlisted(location: str, count: int) -> tuple[Problem, ...]:
    """Return the entry that counts problems instead of listing them, no entry for none."""
    return (Problem(location, None, f"{count} more problems are not listed", count),) if count else ()


class ApiError(Exception):
    """An answer other than success. `timestamp` is the `ETag` of the current state (412 only)."""

    status: int
    errno: int
    error: str
    message: str | None = None
    details: Json = None
    timestamp: int | None = None
    retry: ClassVar[bool] = False
    retry_after_seconds: int | None = None


class Invalid(ApiError):
    """The request is invalid; the problems of one step are listed together (C-ERR-15)."""

    status = 400
    errno = 107
    error = "Invalid parameters"

    def __init__(self, *problems: Problem) -> None:
        entries = [problem.shorten() for problem in problems if not problem.omitted]
        entries.sort(key=lambda problem: str(problem.name))
        omitted = sum(problem.omitted for problem in problems) + len(entries[MAX_PROBLEMS:])
        if omitted:
            entries = [*entries[:MAX_PROBLEMS], *count_unlisted(entries[0].location, omitted)]
        super().__init__(*entries)
        self.problems = entries
        self.message = entries[0].message()
        self.details = [
            {"location": problem.location, "name": problem.name, "description": problem.description}
            for problem in entries
        ]


class NotAcceptable(Invalid):
    """`Accept` excludes JSON (C-ERR-28)."""

    status = 406


class UnsupportedType(Invalid):
    """The method does not accept this `Content-Type` (C-ERR-30, C-ERR-31)."""

    status = 415


class Malformed(ApiError):
    """Path or query are not UTF-8 (C-URL-24, C-URL-25), `Host` is no valid host, or the body is incomplete."""

    status = 400
    errno = 107
    error = "Bad Request"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = shorten(message)


class Unauthenticated(ApiError):
    """Credentials are missing or not accepted (C-ERR-5)."""

    status = 401
    errno = 104
    error = "Unauthorized"
    message = "Please authenticate yourself to use this endpoint."


class Forbidden(ApiError):
    """The identity may not do this (C-ERR-7)."""

    status = 403
    errno = 121
    error = "Forbidden"
    message = "This user cannot access this resource."


class Unknown(ApiError):
    """The object does not exist (C-ERR-8)."""

    status = 404
    errno = 110
    error = "Not Found"

    def __init__(self, kind: str, object_id: str) -> None:
        super().__init__(kind, object_id)
        self.details = {"id": object_id, "resource_name": kind}


class UnknownParent(Unknown):
    """The bucket or collection that should contain the object or list does not exist (C-ERR-9)."""

    errno = 111


class NoSuchUrl(ApiError):
    """No endpoint has this URL (C-URL-17)."""

    status = 404
    errno = 111
    error = "Not Found"
    message = "The resource you are looking for could not be found."


class NoSuchVersion(ApiError):
    """The URL belongs to another version of the API (C-URL-8)."""

    status = 404
    errno = 116
    error = "Not Found"
    message = "The requested API version is not available on this server."


class NotAllowed(ApiError):
    """The endpoint lacks this method; `allow` lists its methods (C-URL-19), none in read-only mode (C-HDR-23)."""

    status = 405
    errno = 115
    error = "Method Not Allowed"
    message = "Method not allowed on this endpoint."

    def __init__(self, allow: tuple[str, ...] = ()) -> None:
        super().__init__(allow)
        self.allow = allow


class TimedOut(ApiError):
    """The client did not send the body in time."""

    status = 408
    errno = 107
    error = "Request Timeout"
    message = "The request did not arrive in time."


class Clash(ApiError):
    """Two objects of a list would have the same timestamp (C-PRE-9); the request is rolled back (C-BATCH-18)."""

    status = 409
    errno = 122
    error = "Conflict"
    message = "Integrity constraint violated, please retry."
    retry = True


class Taken(ApiError):
    """Another object has the same values in a unique index; the request is rolled back (docs/queries.md)."""

    status = 409
    errno = 122
    error = "Conflict"

    def __init__(self, fields: Sequence[str], existing_id: str) -> None:
        names = ",".join(fields)
        super().__init__(names, existing_id)
        self.message = f"Another object has the same {names}: it must be unique."
        self.details = {"field": names, "existing": {"id": existing_id}}


class Gone(ApiError):
    """The service has ended (C-HDR-22)."""

    status = 410
    errno = 202
    error = "Gone"
    message = "The service you are trying to connect no longer exists at this location."


class LengthRequired(ApiError):
    """The body has no length, and the server cannot find its end."""

    status = 411
    errno = 112
    error = "Length Required"
    message = "Content-Length is required."


class Modified(ApiError):
    """A precondition failed (RFC 9110, section 13.1; C-PRE-36). `existing` is the object if the sender may read it."""

    status = 412
    errno = 114
    error = "Precondition Failed"
    message = "Resource was modified meanwhile"

    def __init__(self, timestamp: int, existing: Json = None) -> None:
        super().__init__(timestamp)
        self.timestamp = timestamp
        if existing is not None:
            self.details = {"existing": existing}


class TooManyFailures(ApiError):
    """Too many passwords were wrong: for a while no more are compared (core contract, 3.2: errno 117)."""

    status = 429
    errno = 117
    error = "Too Many Requests"
    message = "Too many failed logins, please retry later."

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


class Programmatic(ApiError):
    """A defect of the service itself (C-ERR-14)."""

    status = 500
    errno = 999
    error = "Internal Server Error"
    message = "A programmatic error occurred, developers have been informed."


class Unavailable(ApiError):
    """A backend fails (C-ERR-11)."""

    status = 503
    errno = 201
    error = "Service Unavailable"
    message = "Service temporary unavailable due to overloading or maintenance, please retry later."
    retry = True


class Contended(Unavailable):
    """Another transaction held a lock for longer than a request may wait for it."""

    message = "Another write holds what this request needs; nothing was changed, please retry later."


class ForeignError(ApiError):
    """An HTTP error of a plugin's view; its errno is the contract's for its status, else 999 (core contract, 3.2)."""

    def __init__(self, status: int, error: str, message: str | None) -> None:
        super().__init__(status, error)
        self.status = status
        self.errno = _ERRNOS.get(status, Programmatic.errno)
        self.error = error
        self.message = message


_ERRNOS: Mapping[int, int] = {
    400: 107,
    401: 104,
    403: 121,
    404: 111,
    405: 115,
    406: 107,
    409: 122,
    410: 202,
    411: 112,
    412: 114,
    413: 113,
    415: 107,
    429: 117,
    503: 201,
}
