"""Serve `GET /__metrics__`, the metrics for Prometheus (operations contract, 5.4)."""

from __future__ import annotations

import importlib
from typing import Any, Final

from flask import Blueprint, Flask, Response

from app.service import Service
from app.settings import Settings
from backends.metrics import CombinedMetrics, Metrics, calls
from blueprints.http import to_response
from blueprints.replies import Reply
from blueprints.urls import prefix

_CACHE_COUNTERS: Final = ("cache_hits", "cache_misses")
_DOCUMENTATION: Final = "https://github.com/Kinto/kinto/"


def open_metrics(settings: Settings) -> Metrics:
    """Open the metrics backend; the timers of backends appear in its page from the start."""
    backend: Any = _prometheus().Prometheus(
        _prefix(settings),
        settings.prometheus_disabled_metrics,
        settings.prometheus_histogram_buckets,
        created=settings.prometheus_created_metrics_enabled,
    )
    for call in calls.calls():
        if call.kinto:
            backend.declare(*calls.backend_timer(call))
    for name in _CACHE_COUNTERS:
        backend.count(name, 0)
    metrics: Metrics = backend
    return metrics


def attach(app: Flask, service: Service) -> None:
    """Add the URL, which needs no authentication, and the capability (P-PROM-1)."""
    blueprint = Blueprint("prometheus", __name__, url_prefix=prefix(service))
    prometheus, metrics = _prometheus(), service.metrics
    backends = metrics.backends if isinstance(metrics, CombinedMetrics) else ()
    backend = next((backend for backend in backends if isinstance(backend, prometheus.Prometheus)), None)

    def get() -> Response:
        page = backend.page() if backend else None
        headers = {"Cache-Control": "no-cache, no-store"}
        if page is None:
            return to_response(Reply(204, "", headers))
        return to_response(Reply(200, page.decode(), headers | {"Content-Type": prometheus.CONTENT_TYPE}))

    blueprint.add_url_rule("/__metrics__", "metrics", get, methods=["GET"], provide_automatic_options=False)
    app.register_blueprint(blueprint)
    service.add_capability(
        "prometheus",
        "Prometheus metrics.",
        _DOCUMENTATION,
        prefix=_prefix(service.settings),
        disabled_metrics=list(service.settings.prometheus_disabled_metrics),
    )


def _prometheus() -> Any:
    """Import the backend only if this plugin is included: its library reads `PROMETHEUS_MULTIPROC_DIR` on import."""
    return importlib.import_module("backends.metrics.prometheus")


def _prefix(settings: Settings) -> str:
    prefix: str = _prometheus().metric_prefix(settings.prometheus_prefix or settings.project_name)
    return prefix
