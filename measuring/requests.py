"""Time every answer from outside: each request, and each member of a batch (operations contract, 5)."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Flask, Request, Response
from flask.globals import request_ctx

from app.identity import ANONYMOUS
from app.kinds import Route
from app.service import Service
from app.settings import SettingError, Settings, convert_errors, imported
from backends.cache import Cache
from backends.metrics import Metrics, Several
from backends.metrics.names import Guide, Kinto, method_name
from backends.metrics.observations import HttpResponse, Observer, observe_with
from backends.storage import Storage
from blueprints.batch import MEMBER_ANSWERED, Entry
from blueprints.replies import Reply
from blueprints.urls import prefix
from measuring.backends import TimedCache, TimedStorage
from measuring.service import Asked, MeasuredService, asked

_STATSD: Final = ("kinto.core.statsd", "cliquet.statsd")
_REDIRECT: Final = 307
_NOT_ALLOWED: Final = 405
# Kinto's names of what has no view (O-MON-18).
_UNSEEN: Final = {404: "unknown", _REDIRECT: "redirect_to_version"}
# Where Kinto's name of a view is not that of its URL rule.
_ENDPOINTS: Final = {"contribute": "contribute.json", "metrics": "prometheus_metrics"}


class Measuring:
    """Makes the parts of an application that measure: *metrics* is for plugins, *observe* takes what happens."""

    def __init__(self, metrics: Metrics, observe: Observer) -> None:
        self._metrics = metrics
        self._observe = observe

    def service(self, settings: Settings, storage: Storage, cache: Cache, generator: Any) -> Service:
        """Make a service whose backends and decisions are timed."""
        timed = TimedStorage(storage, self._observe), TimedCache(cache, self._observe)
        return MeasuredService(self._observe, self._metrics, settings, *timed, generator)

    def attach(self, app: Flask, service: Service) -> None:
        """Measure what the application answers, requests and members of batches."""
        measure(app, service, self._observe)


def open_measuring(settings: Settings, plugins: Iterable[Any]) -> Measuring:
    """Open all places that take measurements. Raises SettingError.

    *plugins* are modules with `open_metrics(settings)`; what they open is told the names of Kinto 26.5.
    """
    fields, most = settings.metrics_matchdict_fields, settings.metrics_max_label_values
    places: list[Metrics] = [plugin.open_metrics(settings) for plugin in plugins]
    observers: list[Observer] = [Kinto(place, fields, most) for place in places]
    if settings.statsd_url:
        statsd = _open_statsd(settings, settings.statsd_url)
        places.append(statsd)
        if settings.statsd_names in ("seed", "both"):
            observers.append(Guide(statsd))
        if settings.statsd_names in ("kinto", "both"):
            observers.append(Kinto(statsd, fields, most))
    return Measuring(Several(places), observe_with(observers))


def _open_statsd(settings: Settings, url: str) -> Metrics:
    name = settings.statsd_backend.strip()
    make = None if name in _STATSD else imported("statsd_backend", name)
    if make is not None and not callable(make):
        raise SettingError("statsd_backend", f"{name!r} is no class.")
    prefix = settings.statsd_prefix or settings.project_name
    try:
        with (
            convert_errors("statsd_backend", f"{name!r} cannot be made from host, port and prefix")
            if make
            else nullcontext()
        ):
            opened: Metrics = importlib.import_module("backends.metrics.statsd").open_metrics(url, prefix, make)
    except (OSError, UnicodeError) as error:
        raise SettingError("statsd_url", f"the host {urlsplit(url).hostname!r} is not known ({error}).") from error
    return opened


def measure(app: Flask, service: Service, observe: Observer) -> None:
    """Time what answers each request, hooks and views, and each member of a batch."""
    inner, version = app.full_dispatch_request, prefix(service)

    def dispatch() -> Response:
        this = Asked(time.perf_counter())
        known = asked.set(this)
        try:
            response = inner()
            observe(_single(service, version, this, request_ctx.request, response))
            return response
        finally:
            asked.reset(known)

    # Flask lets applications override this; a hook before and one after each request would cost more.
    app.full_dispatch_request = dispatch  # type: ignore[method-assign]

    def observe_member(_: Flask, entry: Entry, reply: Reply) -> None:
        batch = asked.get()
        if batch:
            observe(_member(entry, reply, batch))

    MEMBER_ANSWERED.connect(observe_member, app, weak=False)


def _single(service: Service, version: str, this: Asked, request: Request, response: Response) -> HttpResponse:
    """Describe the answer of a request."""

    def route() -> Route | None:
        inside = request.path.startswith(f"{version}/")
        return service.kinds.match(request.path.removeprefix(version)) if inside else None

    method, status = request.method, response.status_code
    view, endpoint = None, _UNSEEN.get(status, "unnamed")
    if method == "OPTIONS" or status == _NOT_ALLOWED:
        asked_for = route()
        endpoint = _endpoint(asked_for) if asked_for else endpoint
    elif request.url_rule is not None and status != _REDIRECT:
        view, endpoint = _names(request.url_rule.endpoint)
    # A batch is asked by nobody in particular, its members are.
    identity = ANONYMOUS if view == "batch" else this.identity
    return HttpResponse(
        method_name(method),
        view,
        endpoint,
        status,
        time.perf_counter() - this.started,
        lambda: _ids(route()) if view else {},
        lambda: response.calculate_content_length() or 0,
        identity.user_id,
        identity.policy,
    )


@cache
def _names(rule: str) -> tuple[str, str]:
    """Return what the production guide and what Kinto call the view of a URL rule, which Flask calls *rule*."""
    blueprint, _, name = rule.rpartition(".")
    if blueprint == "resources":
        kind, _, shape = name.rpartition("-")
        return f"{kind}-{'record' if shape == 'object' else 'collection'}", name
    view = blueprint if name in ("object", "plural") else name
    return view, _ENDPOINTS.get(view, view)


def _endpoint(route: Route) -> str:
    """Return Kinto's name of the view of a list or an object."""
    return f"{route.kind.name}-{'plural' if route.on_list else 'object'}"


def _ids(route: Route | None) -> Mapping[str, str]:
    return route.matchdict() if route else {}


def _member(entry: Entry, reply: Reply, batch: Asked) -> HttpResponse:
    """Describe the answer of a member of a batch, with the seconds that it took alone: statements are the batch's."""
    seconds = entry.seconds
    view, endpoint, route, identity = None, _UNSEEN.get(reply.status, "unnamed"), None, ANONYMOUS
    if entry.operation:
        route = entry.operation.route
        identity, deciding = batch.decisions.get(id(route), (entry.operation.identity, 0.0))
        seconds += deciding
        view, endpoint = _names(f"resources.{_endpoint(route)}")
    return HttpResponse(
        method_name(entry.asked.method),
        view,
        endpoint,
        reply.status,
        seconds,
        lambda: _ids(route),
        lambda: len(reply.body.encode()),
        identity.user_id,
        identity.policy,
    )
