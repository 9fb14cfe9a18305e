"""Figures for Prometheus, one observation per request. Labels come from fixed sets: no caller can make them grow.

Names: OpenTelemetry's GenAI client metrics in Prometheus' spelling, and the relay's own as `relay_…`.
"""

from collections.abc import Callable, Collection
from typing import Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from relay.core.usage import Usage

# Powers of four, as the GenAI conventions advise for tokens, and their boundaries for seconds.
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
OVERHEAD_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1)


class Observed(Protocol):
    """A request's record, as far as this room looks. Times are seconds of the monotonic clock."""

    route: str
    model: str | None
    status: int
    end: str
    error: str | None
    frames_out: int
    bytes_out: int
    usage: Usage | None
    begun_at: float
    answered_at: float
    first_at: float

    @property
    def overhead_seconds(self) -> float | None: ...


M = TypeVar("M", Counter, Histogram)


class _Labelled(Generic[M]):
    """A metric's children by their labels: finding one in the library takes as long as counting in it."""

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._children: dict[tuple[str, ...], M] = {}

    def of(self, *labels: str) -> M:
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._metric.labels(*labels)
        return child


class Metrics:
    """One per worker, with a registry of its own. Several `workers` write into files; any of them reads all."""

    def __init__(self, models: Collection[str], workers: int = 1) -> None:
        self._routes: frozenset[str] = frozenset()
        self.know_models(models)
        self._workers = workers
        self._kept: list[tuple[Gauge, Callable[[], float]]] = []
        self.registry = CollectorRegistry()
        self._requests = _Labelled(self._counter("relay_requests", "Requests answered", "route", "status", "end"))
        self._refusals = _Labelled(self._counter("relay_refusals", "Requests that the relay refused", "code"))
        self._frames = self._counter("relay_frames_out", "Frames sent to callers")
        self._bytes = self._counter("relay_bytes_out", "Body bytes sent to callers")
        self._cost = _Labelled(self._counter("relay_cost_usd", "Cost of what has a price", "model"))
        self._overhead = self._histogram("relay_overhead_seconds", "The relay's own part", OVERHEAD_SECONDS)
        tokens = ("gen_ai_client_token_usage", "Tokens by the upstream's count", TOKENS)
        self._tokens = _Labelled(self._histogram(*tokens, "gen_ai_token_type", "model"))
        duration = ("gen_ai_client_operation_duration_seconds", "Whole answers", SECONDS)
        self._duration = _Labelled(self._histogram(*duration, "model"))
        first = ("gen_ai_client_operation_time_to_first_chunk_seconds", "From arrival to the first frame", SECONDS)
        self._first = _Labelled(self._histogram(*first, "model"))

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Publish a figure that somebody else keeps; of several workers the sum."""
        gauge = Gauge(name, text, registry=self.registry, multiprocess_mode="livesum")
        self._kept.append((gauge, read))

    def refresh(self) -> None:
        """Take down the figures that others keep, for whichever worker is asked; called every second."""
        for gauge, read in self._kept:
            gauge.set(read())

    def know_routes(self, routes: Collection[str]) -> None:
        """Requests for any other are counted as `unknown`; at first all are."""
        self._routes = frozenset(routes)

    def know_models(self, models: Collection[str]) -> None:
        """Any other is counted as `other`."""
        self._models = frozenset(models)

    def observe(self, record: Observed, ended_at: float, cost_usd: float | None = None) -> None:
        """Count one request."""
        route = record.route if record.route in self._routes else "unknown"
        self._requests.of(route, str(record.status), record.end).inc()
        if record.error is not None:
            self._refusals.of(record.error).inc()
        if record.answered_at:
            self._observe_answer(record, ended_at)
        if cost_usd is not None:
            self._cost.of(self._model_of(record)).inc(cost_usd)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        self.refresh()
        if self._workers == 1:
            return generate_latest(self.registry)
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
        return generate_latest(everyone)

    def _observe_answer(self, record: Observed, ended_at: float) -> None:
        model = self._model_of(record)
        self._frames.inc(record.frames_out)
        self._bytes.inc(record.bytes_out)
        self._duration.of(model).observe(ended_at - record.begun_at)
        if record.first_at:
            self._first.of(model).observe(record.first_at - record.begun_at)
        if record.overhead_seconds is not None:
            self._overhead.observe(record.overhead_seconds)
        if record.usage is not None:
            self._tokens.of("input", model).observe(record.usage.input_tokens)
            self._tokens.of("output", model).observe(record.usage.output_tokens)

    def _model_of(self, record: Observed) -> str:
        return record.model if record.model in self._models else "other"

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)
