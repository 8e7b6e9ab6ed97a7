"""Prometheus: values are stored until they are scraped (operations contract, 5.4).

Each application has its own metrics. If `PROMETHEUS_MULTIPROC_DIR` is set, the workers store their values in files of
that folder, and the page has their sums.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    Metric,
    PlatformCollector,
    ProcessCollector,
    Summary,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from backends.metrics import Labels, Timing

log: Final = logging.getLogger("kinto.metrics")

_Kind = type[Histogram] | type[Summary] | type[Counter]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
# The library has no types for it.
_shared_values: Final[Callable[[None], Collector]] = MultiProcessCollector
_INVALID_CHARACTERS: Final = re.compile(r"[^a-zA-Z0-9_]")


class Prometheus(Timing):
    """Store metrics. *buckets* are the upper bounds of histograms, *disabled_names* are names that are not stored.

    With *created* the page has the samples `_created`. Raises ValueError if the buckets are not in ascending order.
    """

    def __init__(self, prefix: str, disabled_names: Iterable[str], buckets: Sequence[float], *, created: bool) -> None:
        self.prefix = prefix
        self._disabled_names = frozenset(_INVALID_CHARACTERS.sub("_", name) for name in disabled_names)
        self._buckets = tuple(buckets)
        self._created = created
        self._metrics: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._registry = CollectorRegistry()
        # The library reads the variable when it is imported, not when an application is created.
        self._shared = bool(values.ValueClass._multiprocess)  # noqa: SLF001  # the library has no public name
        self._folder_missing = False
        if not self._shared:
            log.warning("Prometheus metrics will run in single-process mode only.")
            for collector in (ProcessCollector, PlatformCollector, GCCollector):
                collector(registry=self._registry)
        elif self.page() is None:
            self._folder_missing = True

    def declare(self, name: str, labels: Labels = ()) -> None:
        """Create a timer before its first use, so that the page has it."""
        self._record(Histogram, name, labels, lambda _metric: None)

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Add a duration to a histogram."""
        self._record(Histogram, name, labels, lambda metric: metric.observe(seconds))

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        """Add a value to a summary."""
        self._record(Summary, name, labels, lambda metric: metric.observe(value))

    def count(self, name: str, amount: int = 1, unique: str | Labels = ()) -> None:
        """Increment a counter; *unique* values, which other backends count once, are labels here."""
        labels = (("value", unique),) if isinstance(unique, str) else unique
        self._record(Counter, name, labels, lambda metric: metric.inc(amount))

    def _record(self, kind: _Kind, name: str, labels: Labels, add: Callable[[Any], None]) -> None:
        """Update the metric with these labels; errors of the files, such as a full disk, are logged."""
        try:
            metric = self._child(kind, name, labels)
            if metric is not None:
                add(metric)
        except OSError as error:
            log.warning("A measurement of %s is lost: %s", name, error)

    def _child(self, kind: _Kind, name: str, labels: Labels) -> Any:
        """Return the metric with these labels, None for a disabled name.

        Raises RuntimeError if the name is already used for another type of metric.
        """
        plain = _INVALID_CHARACTERS.sub("_", name)
        full = f"{self.prefix}{plain}"
        if self._folder_missing or plain in self._disabled_names or full in self._disabled_names:
            return None
        metric = self._metrics.get(full)
        if metric is None:
            metric = self._create(kind, full, labels)
        if type(metric) is not kind:
            raise RuntimeError(f"The metric {full!r} is a {type(metric).__name__}, not a {kind.__name__}.")
        return metric.labels(**dict(labels)) if labels else metric

    def _create(self, kind: _Kind, full: str, labels: Labels) -> Any:
        with self._lock:
            if full not in self._metrics:
                options: dict[str, Any] = {"buckets": self._buckets} if kind is Histogram else {}
                names = [name for name, _ in labels]
                description = f"{kind.__name__} of {full}"
                # Shared values are read from the files, which include those of this worker.
                registry = None if self._shared else self._registry
                self._metrics[full] = kind(full, description, names, registry=registry, **options)
            return self._metrics[full]

    def page(self) -> bytes | None:
        """Return all values in the format of Prometheus; None, with a warning, if the files cannot be read."""
        if not self._shared:
            return generate_latest(self._registry if self._created else _WithoutCreated(self._registry))
        try:
            return generate_latest(_shared_values(None))
        except (ValueError, OSError) as error:
            log.warning("The metrics of the workers cannot be read: %s", error)
            return None


class _WithoutCreated(Collector):
    """The metrics of a registry without the samples `_created`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if sample.name != f"{metric.name}_created"]
            yield metric


def metric_prefix(project: str) -> str:
    """Return the prefix of metric names: lower case, without `-`, `.`, blanks and `_` (O-MON-17)."""
    return re.sub(r"[-._\s]", "", project.lower()) + "_"
