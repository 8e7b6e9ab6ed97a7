"""Open the metrics of an application, and wrap what they time (operations contract, 5)."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from app.observations import Observer, observe_with
from app.service import Service
from app.settings import SettingError, Settings, convert_errors, import_name
from backends.cache import Cache
from backends.metrics import CombinedMetrics, Metrics
from backends.storage import Storage
from measuring.backends import TimedCache, TimedStorage
from measuring.names import GuideNames, KintoNames
from measuring.policies_and_listeners import TimedPolicy, time_listener

_STATSD: Final = ("kinto.core.statsd", "cliquet.statsd")


@dataclass(frozen=True, slots=True)
class Measuring:
    """The metrics of an application: `metrics` is for plugins, `observe` gets every measurement."""

    metrics: Metrics
    observe: Observer

    def time_backends(self, storage: Storage, cache: Cache) -> tuple[Storage, Cache]:
        """Return backends whose methods are timed."""
        return TimedStorage(storage, self.observe), TimedCache(cache, self.observe)

    def time_policies_and_listeners(self, service: Service) -> None:
        """Replace the policies and listeners of a service by timed ones."""
        authenticator, notifier = service.authenticator, service.notifier
        authenticator.policies = [TimedPolicy(policy, self.observe) for policy in authenticator.policies]
        notifier.listeners = [time_listener(listener, self.observe) for listener in notifier.listeners]


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
