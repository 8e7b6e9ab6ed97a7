"""Time every answer from outside: hooks around views and around members of batches (operations contract, 5)."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from flask import Flask, Request, Response
from flask.globals import request_ctx

from app.identity import Identity
from app.kinds import Route
from app.metrics import Asked, MeasuredService, asked
from app.perform import Answer
from app.service import Service
from app.settings import SettingError, Settings, imported
from backends import Json
from backends.cache import Cache
from backends.metrics import Metrics, Several
from backends.metrics.names import Answered, Families, Family, Guide, Kinto
from backends.metrics.wrapping import TimedCache, TimedStorage
from backends.storage import Storage
from blueprints.batch import Entries, Entry
from blueprints.http import prefix
from blueprints.replies import Reply

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_STATSD: Final = ("kinto.core.statsd", "cliquet.statsd")
_REDIRECT: Final = 307
# Where Kinto's name of a view is not that of its URL rule.
_ENDPOINTS: Final = {"contribute": "contribute.json", "metrics": "prometheus_metrics"}


class Measuring:
    """Makes the parts of an application that measure: *metrics* is for plugins, *family* for what all have."""

    def __init__(self, metrics: Metrics, family: Family) -> None:
        self._metrics = metrics
        self._family = family

    def service(self, settings: Settings, storage: Storage, cache: Cache, generator: Any) -> Service:
        """Make a service whose backends and decisions are timed."""
        timed = TimedStorage(storage, self._family), TimedCache(cache, self._family)
        return MeasuredService(self._family, self._metrics, settings, *timed, generator)

    def attach(self, app: Flask, service: Service) -> None:
        """Measure what the application answers. Call this first: then no other hook runs before or after it."""
        measure(app, service, self._family)

    def entries(self, service: Service, app: Flask) -> Entries:
        """Make the members of a batch, each measured."""
        return MeasuredEntries(self._family, service, app)


def open_measuring(settings: Settings, plugins: Iterable[Any]) -> Measuring:
    """Open all places that take measurements. Raises SettingError.

    *plugins* are modules with `open_metrics(settings)`; what they open is told the names of Kinto 26.5.
    """
    places: list[Metrics] = [plugin.open_metrics(settings) for plugin in plugins]
    families: list[Family] = [Kinto(place, settings.metrics_matchdict_fields) for place in places]
    if settings.statsd_url:
        statsd = _open_statsd(settings, settings.statsd_url)
        places.append(statsd)
        if settings.statsd_names in ("seed", "both"):
            families.append(Guide(statsd))
        if settings.statsd_names in ("kinto", "both"):
            families.append(Kinto(statsd, settings.metrics_matchdict_fields))
    return Measuring(Several(places), families[0] if len(families) == 1 else Families(families))


def _open_statsd(settings: Settings, url: str) -> Metrics:
    name = settings.statsd_backend.strip()
    make = None if name in _STATSD else imported("statsd_backend", name)
    if make is not None and not callable(make):
        raise SettingError("statsd_backend", f"{name!r} is no class.")
    prefix = settings.statsd_prefix or settings.project_name
    try:
        opened: Metrics = importlib.import_module("backends.metrics.statsd").open_metrics(url, prefix, make)
    except (OSError, UnicodeError) as error:
        raise SettingError("statsd_url", f"the host {urlsplit(url).hostname!r} is not known ({error}).") from error
    except TypeError as error:
        raise SettingError("statsd_backend", f"{name!r} takes no host, port and prefix ({error}).") from error
    return opened


def measure(app: Flask, service: Service, family: Family) -> None:
    """Put hooks around all views, and the sending of what they measured around those."""
    inner, version = app.wsgi_app, prefix(service)

    def together(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        token = asked.set(None)
        try:
            with service.metrics.together():
                return inner(environ, start_response)
        finally:
            asked.reset(token)

    def before() -> None:
        around = asked.get()
        if around:
            around.dispatched += 1
        asked.set(Asked(time.perf_counter(), around))

    def after(response: Response) -> Response:
        this = asked.get()
        if this:
            asked.set(this.around)
            family.answered(_single(service, version, this, request_ctx.request, response))
        return response

    app.wsgi_app = together  # type: ignore[method-assign]  # the place that Flask has for what wraps an application
    app.before_request(before)
    app.after_request(after)


def _single(service: Service, version: str, this: Asked, request: Request, response: Response) -> Answered:
    """Describe the answer of a request."""
    route = service.kinds.match(request.path.removeprefix(version)) if request.path.startswith(f"{version}/") else None
    seen = request.url_rule is not None and request.method != "OPTIONS" and response.status_code != _REDIRECT
    endpoint = _endpoint(response.status_code)
    view = None
    if seen:
        view = _name(request.endpoint or "")
        endpoint = _ENDPOINTS.get(view, view)
    # A batch is asked by nobody in particular, its members are.
    identity = None if view == "batch" else this.identity
    return _answered(
        request.method,
        route if seen or request.method == "OPTIONS" or response.status_code == 405 else None,
        view,
        endpoint,
        response.status_code,
        time.perf_counter() - this.started,
        response.calculate_content_length() or 0,
        identity,
    )


def _endpoint(status: int) -> str:
    """Return Kinto's name of what has no view (O-MON-18)."""
    return {404: "unknown", _REDIRECT: "redirect_to_version"}.get(status, "unnamed")


def _name(endpoint: str) -> str:
    """Return the name of a view by that of its URL rule: the last part, for user data the first."""
    blueprint, _, name = endpoint.rpartition(".")
    return blueprint if name in ("object", "plural") else name


def _answered(
    method: str,
    route: Route | None,
    view: str | None,
    endpoint: str,
    status: int,
    seconds: float,
    size_bytes: int,
    identity: Identity | None,
) -> Answered:
    ids: Mapping[str, str] = {}
    if route is not None:
        # Whatever URL leads there: `/buckets/default/...` counts under the kind that it ends at.
        kind, ids = route.kind.name, route.matchdict()
        if method != "OPTIONS" and status != 405:
            view = f"{kind}-{'collection' if route.on_list else 'record'}"
        endpoint = f"{kind}-{'plural' if route.on_list else 'object'}"
    user_id, policy = (identity.user_id, identity.policy) if identity else (None, None)
    return Answered(method, view, endpoint, status, seconds, size_bytes, ids, user_id, policy)


class MeasuredEntries(Entries):
    """The members of a batch, each measured: what was done for it alone (statements are those of the batch)."""

    def __init__(self, family: Family, *parts: Any) -> None:
        super().__init__(*parts)
        self._family = family
        self._reading: dict[int, float] = {}

    def entry(self, member: Mapping[str, Json]) -> Entry:
        """Read a member, timed."""
        start = time.perf_counter()
        entry = super().entry(member)
        self._reading[id(entry)] = time.perf_counter() - start
        return entry

    def reply(self, entry: Entry, given: Answer | None) -> Reply:
        """Answer a member, and tell of it unless it was a request of its own."""
        batch, start = asked.get(), time.perf_counter()
        before = batch.dispatched if batch else 0
        reply = super().reply(entry, given)
        if batch and batch.dispatched == before:
            seconds = self._reading[id(entry)] + time.perf_counter() - start
            self._family.answered(_member(entry, reply, batch, seconds))
        return reply


def _member(entry: Entry, reply: Reply, batch: Asked, seconds: float) -> Answered:
    """Describe the answer of a member of a batch."""
    route, identity = None, None
    if entry.operation:
        route = entry.operation.route
        identity, deciding = batch.decisions.get(id(route), (entry.operation.identity, 0.0))
        seconds += deciding
    size_bytes = len(reply.body.encode())
    return _answered(
        entry.asked.method, route, None, _endpoint(reply.status), reply.status, seconds, size_bytes, identity
    )
