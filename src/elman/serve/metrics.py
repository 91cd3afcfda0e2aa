"""What /metrics says, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Metrics:
    """Counters of one server."""

    def __init__(self, waiting: Callable[[], float], sessions: Callable[[], float]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        from prometheus_client.process_collector import ProcessCollector

        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        labels = ("model", "operation", "status")
        self._requests = Counter("elman_requests", "Requests answered.", labels, registry=registry)
        times = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
        self._seconds = Histogram(
            "elman_request_seconds",
            "From the first byte read to the last written.",
            labels[:2],
            buckets=times,
            registry=registry,
        )
        self._tokens = Counter("elman_tokens", "Tokens of the texts that were asked about.", registry=registry)
        self._texts = Counter("elman_texts", "Texts that were asked about.", registry=registry)
        sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256)
        self._batches = Histogram("elman_batch_texts", "Texts of a batch.", buckets=sizes, registry=registry)
        self._reloads = Counter("elman_reloads", "Models loaded again.", ("model", "result"), registry=registry)
        Gauge("elman_waiting_requests", "Requests that wait.", registry=registry).set_function(waiting)
        Gauge("elman_open_sessions", "Sessions that are open.", registry=registry).set_function(sessions)
        self._known: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def request(self, model: str, operation: str, status: int, seconds: float, texts: int, tokens: int) -> None:
        """Count a request. model, operation: of those that exist, or empty."""
        key = model, operation, status
        known = self._known.get(key)
        if known is None:
            known = self._requests.labels(model, operation, str(status)), self._seconds.labels(model, operation)
            self._known[key] = known
        known[0].inc()
        known[1].observe(seconds)
        if texts:
            self._texts.inc(texts)
            self._tokens.inc(tokens)

    def batch(self, size: int) -> None:
        """Count a batch."""
        self._batches.observe(size)

    def reload(self, model: str, done: bool) -> None:
        """Count a model that was loaded again, or could not be."""
        self._reloads.labels(model, "loaded" if done else "failed").inc()

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)
