"""Time the response of each request and of each member of a batch, from outside (operations contract, 5)."""

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
from app.observations import HttpResponse, Observer, observe_with
from app.service import Service
from app.settings import SettingError, Settings, convert_errors, import_name
from backends.cache import Cache
from backends.metrics import CombinedMetrics, Metrics
from backends.metrics.limits import method_name
from backends.storage import Storage
from blueprints.batch import MEMBER_ANSWERED, Member
from blueprints.replies import Reply
from blueprints.urls import prefix
from measuring.backends import TimedCache, TimedStorage
from measuring.names import GuideNames, KintoNames
from measuring.service import CURRENT_REQUEST, MeasuredService, RunningRequest

_STATSD: Final = ("kinto.core.statsd", "cliquet.statsd")
_REDIRECT: Final = 307
_NOT_ALLOWED: Final = 405
# Kinto's names of responses that no view makes, by status (O-MON-18).
_VIEWLESS_ENDPOINTS: Final = {404: "unknown", _REDIRECT: "redirect_to_version"}
# Kinto's names of views that differ from the name of the URL rule.
_ENDPOINTS: Final = {"contribute": "contribute.json", "metrics": "prometheus_metrics"}


class Measuring:
    """Makes the parts of an application that measure: *metrics* is for plugins, *observe* gets every measurement."""

    def __init__(self, metrics: Metrics, observe: Observer) -> None:
        self._metrics = metrics
        self._observe = observe

    def service(self, settings: Settings, storage: Storage, cache: Cache, generator: Any) -> Service:
        """Make a service whose backends and decisions are timed."""
        backends = TimedStorage(storage, self._observe), TimedCache(cache, self._observe)
        return MeasuredService(self._observe, self._metrics, settings, *backends, generator)

    def attach(self, app: Flask, service: Service) -> None:
        """Measure the responses of the application to requests and members of batches."""
        measure(app, service, self._observe)


def open_measuring(settings: Settings, plugins: Iterable[Any]) -> Measuring:
    """Open all metrics backends. Raises SettingError.

    *plugins* are modules with `open_metrics(settings)`; their backends get the names of Kinto 26.5.
    """
    fields, max_values = settings.metrics_matchdict_fields, settings.metrics_max_label_values
    backends: list[Metrics] = [plugin.open_metrics(settings) for plugin in plugins]
    observers: list[Observer] = [KintoNames(backend, fields, max_values) for backend in backends]
    if settings.statsd_url:
        statsd = _open_statsd(settings, settings.statsd_url)
        backends.append(statsd)
        if settings.statsd_names in ("seed", "both"):
            observers.append(GuideNames(statsd))
        if settings.statsd_names in ("kinto", "both"):
            observers.append(KintoNames(statsd, fields, max_values))
    return Measuring(CombinedMetrics(backends), observe_with(observers))


def _open_statsd(settings: Settings, url: str) -> Metrics:
    name = settings.statsd_backend.strip()
    make = None if name in _STATSD else import_name("statsd_backend", name)
    if make is not None and not callable(make):
        raise SettingError("statsd_backend", f"{name!r} is not a class.")
    prefix = settings.statsd_prefix or settings.project_name
    try:
        with (
            convert_errors("statsd_backend", f"{name!r} cannot be made from host, port and prefix")
            if make
            else nullcontext()
        ):
            statsd: Metrics = importlib.import_module("backends.metrics.statsd").open_metrics(url, prefix, make)
    except (OSError, UnicodeError) as error:
        raise SettingError("statsd_url", f"the host {urlsplit(url).hostname!r} is not known ({error}).") from error
    return statsd


def measure(app: Flask, service: Service, observe: Observer) -> None:
    """Time the hooks and the view of each request, and each member of a batch."""
    inner, version = app.full_dispatch_request, prefix(service)

    def dispatch() -> Response:
        running = RunningRequest(time.perf_counter())
        token = CURRENT_REQUEST.set(running)
        try:
            response = inner()
            observe(_describe_response(service, version, running, request_ctx.request, response))
            return response
        finally:
            CURRENT_REQUEST.reset(token)

    # Flask lets applications override this; a hook before and one after each request would cost more.
    app.full_dispatch_request = dispatch  # type: ignore[method-assign]

    def observe_member(_: Flask, member: Member, reply: Reply) -> None:
        batch = CURRENT_REQUEST.get()
        if batch:
            observe(_describe_member(member, reply, batch))

    MEMBER_ANSWERED.connect(observe_member, app, weak=False)


def _describe_response(
    service: Service, version: str, running: RunningRequest, request: Request, response: Response
) -> HttpResponse:
    """Describe the response to a request."""

    def match_path() -> Route | None:
        has_version = request.path.startswith(f"{version}/")
        return service.kinds.match(request.path.removeprefix(version)) if has_version else None

    method, status = request.method, response.status_code
    view, endpoint = None, _VIEWLESS_ENDPOINTS.get(status, "unnamed")
    if method == "OPTIONS" or status == _NOT_ALLOWED:
        route = match_path()
        endpoint = _kinto_endpoint(route) if route else endpoint
    elif request.url_rule is not None and status != _REDIRECT:
        view, endpoint = _view_names(request.url_rule.endpoint)
    # A batch itself has no identity: each of its members has one.
    identity = ANONYMOUS if view == "batch" else running.identity
    return HttpResponse(
        method_name(method),
        view,
        endpoint,
        status,
        time.perf_counter() - running.started,
        lambda: _ids_of(match_path()) if view else {},
        lambda: response.calculate_content_length() or 0,
        identity.user_id,
        identity.policy,
    )


@cache
def _view_names(rule: str) -> tuple[str, str]:
    """Return the names of a view in the production guide and in Kinto; *rule* is Flask's name of its URL rule."""
    blueprint, _, name = rule.rpartition(".")
    if blueprint == "resources":
        kind, _, shape = name.rpartition("-")
        return f"{kind}-{'record' if shape == 'object' else 'collection'}", name
    view = blueprint if name in ("object", "plural") else name
    return view, _ENDPOINTS.get(view, view)


def _kinto_endpoint(route: Route) -> str:
    """Return Kinto's name of the view of a list or an object."""
    return f"{route.kind.name}-{'plural' if route.on_list else 'object'}"


def _ids_of(route: Route | None) -> Mapping[str, str]:
    return route.matchdict() if route else {}


def _describe_member(member: Member, reply: Reply, batch: RunningRequest) -> HttpResponse:
    """Describe the response to a member of a batch; its seconds exclude statements, which belong to the batch."""
    seconds = member.seconds
    view, endpoint, route, identity = None, _VIEWLESS_ENDPOINTS.get(reply.status, "unnamed"), None, ANONYMOUS
    if member.operation:
        route = member.operation.route
        identity, decision_seconds = batch.decisions.get(id(route), (member.operation.identity, 0.0))
        seconds += decision_seconds
        view, endpoint = _view_names(f"resources.{_kinto_endpoint(route)}")
    return HttpResponse(
        method_name(member.request.method),
        view,
        endpoint,
        reply.status,
        seconds,
        lambda: _ids_of(route),
        lambda: len(reply.body.encode()),
        identity.user_id,
        identity.policy,
    )
