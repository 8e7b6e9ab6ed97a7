"""Prometheus: measurements kept until somebody asks for them (operations contract, 5.4).

Each application has metrics of its own. Where `PROMETHEUS_MULTIPROC_DIR` is set the values of all workers meet in files
of that folder, and the page is the sum of them.
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
# The library gives no types for it.
_shared_values: Final[Callable[[None], Collector]] = MultiProcessCollector
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_]")


class Prometheus(Timing):
    """Keeps what is measured. *buckets* are the upper bounds of histograms, *disabled* names that are not kept.

    Raises ValueError when the buckets do not ascend.
    """

    def __init__(self, prefix: str, disabled: Iterable[str], buckets: Sequence[float], created: bool) -> None:
        self.prefix = prefix
        self._disabled = frozenset(_NOT_IN_NAMES.sub("_", name) for name in disabled)
        self._buckets = tuple(buckets)
        self._created = created
        self._metrics: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._registry = CollectorRegistry()
        # Read when the library was imported, not when an application is made.
        self._shared = bool(values.ValueClass._multiprocess)
        self._lost = False
        if not self._shared:
            log.warning("Prometheus metrics will run in single-process mode only.")
            for collector in (ProcessCollector, PlatformCollector, GCCollector):
                collector(registry=self._registry)
        elif self.page() is None:
            self._lost = True

    def offer(self, name: str, labels: Labels = ()) -> None:
        """Show a timer before it is used."""
        self._keep(Histogram, name, labels, lambda metric: None)

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Add to a histogram."""
        self._keep(Histogram, name, labels, lambda metric: metric.observe(seconds))

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        """Add to a summary."""
        self._keep(Summary, name, labels, lambda metric: metric.observe(value))

    def count(self, name: str, amount: int = 1, unique: str | Labels = ()) -> None:
        """Add to a counter; what is counted only once elsewhere is a label here."""
        labels = (("value", unique),) if isinstance(unique, str) else unique
        self._keep(Counter, name, labels, lambda metric: metric.inc(amount))

    def _keep(self, kind: _Kind, name: str, labels: Labels, add: Callable[[Any], None]) -> None:
        """Add to what keeps the values of these labels; a full disk under the files is told and fails nobody."""
        try:
            metric = self._child(kind, name, labels)
            if metric is not None:
                add(metric)
        except OSError as error:
            log.warning("A measurement of %s is lost: %s", name, error)

    def _child(self, kind: _Kind, name: str, labels: Labels) -> Any:
        """Return what keeps the values of these labels, None for a name that is not kept.

        Raises RuntimeError when the name measures something else already.
        """
        plain = _NOT_IN_NAMES.sub("_", name)
        full = f"{self.prefix}{plain}"
        if self._lost or plain in self._disabled or full in self._disabled:
            return None
        metric = self._metrics.get(full)
        if metric is None:
            metric = self._made(kind, full, labels)
        if type(metric) is not kind:
            raise RuntimeError(f"The metric {full!r} is a {type(metric).__name__}, no {kind.__name__}.")
        return metric.labels(**dict(labels)) if labels else metric

    def _made(self, kind: _Kind, full: str, labels: Labels) -> Any:
        with self._lock:
            if full not in self._metrics:
                options: dict[str, Any] = {"buckets": self._buckets} if kind is Histogram else {}
                names = [name for name, _ in labels]
                help = f"{kind.__name__} of {full}"
                # Shared values are read from the files, where those of this worker are too.
                registry = None if self._shared else self._registry
                self._metrics[full] = kind(full, help, names, registry=registry, **options)
            return self._metrics[full]

    def page(self) -> bytes | None:
        """Return all values as Prometheus reads them; None, with a warning, where the folder of the files is gone."""
        if not self._shared:
            return generate_latest(self._registry if self._created else _WithoutCreated(self._registry))
        try:
            return generate_latest(_shared_values(None))
        except (ValueError, OSError) as error:
            log.warning("The metrics of the workers cannot be read: %s", error)
            return None


class _WithoutCreated(Collector):
    """What a registry collects, without the samples that say since when."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if sample.name != f"{metric.name}_created"]
            yield metric


def named(project: str) -> str:
    """Return the prefix of names: lower case, without `-`, `.`, blanks and `_` (O-MON-17)."""
    return re.sub(r"[-._\s]", "", project.lower()) + "_"
