"""Traces and metrics for an OpenTelemetry collector, if the environment names one. The only user of OpenTelemetry.

Uses the official SDK with its standard variables (opentelemetry.io, "Environment Variable Specification" and "OTLP
Exporter Configuration") and own providers: the SDK of Pulumi sets the global ones. The SDK is installed with Pulumi,
the exporter for HTTP is the extra `otel`. Exports happen in threads of the SDK, which never keep a process alive.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib import import_module
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imagefactory import __version__
from imagefactory.diagnostics import warning
from imagefactory.errors import ImageFactoryError
from imagefactory.plain_text import printable, redacted
from imagefactory.telemetry.copy_events import CopyEvent

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span as SdkSpan
    from opentelemetry.trace import Tracer

ENDPOINTS = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "traces",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "metrics",
}
"""The variables that name a collector, each with its only signal."""

_EXPORTERS = {"traces": "OTEL_TRACES_EXPORTER", "metrics": "OTEL_METRICS_EXPORTER"}

FLUSH_SECONDS = 2.0
"""How long a process waits at its end until the collector has taken everything."""

HTTP, GRPC = "http/protobuf", "grpc"
EXTRA = "opentelemetry-exporter-otlp-proto-http"


class Span:
    """A span that is sent nowhere."""

    def entered(self) -> AbstractContextManager[object]:
        """Make it the parent of spans that begin in the block."""
        return nullcontext()

    def end(self, problem: str = "", attributes: Mapping[str, str | int] | None = None) -> None:
        """End it; with a problem, it failed. Only the first call counts."""


class Telemetry:
    """Traces and metrics that are sent nowhere: there is no collector."""

    def entered(self) -> AbstractContextManager[object]:
        """Make the span of the process the parent of spans that begin in the block."""
        return nullcontext()

    def begin(self, name: str, parent: Span | None = None, at: int | None = None) -> Span:
        """Begin a span, `at` nanoseconds since 1970 (None: now); without a parent, below the one that is entered."""
        return Span()

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Make the block a span, which fails with its exception."""
        span = self.begin(name)
        try:
            with span.entered():
                yield
        except BaseException as problem:
            span.end(reason(problem))
            raise
        span.end()

    def copied(self, event: CopyEvent) -> None:
        """Add a copy that ended to the metrics, and as a span (a `CopyObserver`)."""

    def flush(self) -> None:
        """Send what has ended; wait for it, but not for long."""

    def close(self, problem: str = "") -> str:
        """End the span of the process, failed with a problem, and send the rest. Return a warning if that failed."""
        return ""


NONE = Telemetry()


def reason(problem: BaseException) -> str:
    """Return an exception as the status of a span: the message of an error that this project raised, else its type."""
    known = next((each for each in (problem, problem.__cause__) if isinstance(each, ImageFactoryError)), None)
    return printable(redacted(str(known))) if known else type(problem).__name__


def telemetry(process: str, environment: Mapping[str, str] = os.environ) -> tuple[Telemetry, str]:
    """Return the telemetry of this process, whose span has the name `process`, and a warning if it cannot be sent."""
    signals = _signals(environment)
    if not signals:
        return NONE, ""
    protocol = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL") or HTTP
    variable = next(name for name in ENDPOINTS if environment.get(name))
    if protocol not in {HTTP, GRPC}:
        remedy = f"Set it to {HTTP} or {GRPC}"
        return NONE, _lost("OTEL_EXPORTER_OTLP_PROTOCOL", f"is {protocol}, which is not supported", remedy)
    try:
        return _Sending(process, environment, signals, protocol), ""
    except ModuleNotFoundError as lacking:
        if not (lacking.name or "").startswith("opentelemetry"):
            raise
        fact = f"is set, but the package {EXTRA} is not installed"
        remedy = f"Run pip install -r requirements-otel.txt, or set OTEL_EXPORTER_OTLP_PROTOCOL to {GRPC}"
        return NONE, _lost(variable, fact, remedy)
    except Exception as problem:  # whatever the SDK makes of wrong variables: a run does not fail because of it
        remedy = "Correct the variables that start with OTEL_"
        return NONE, _lost(variable, f"is set, but the SDK does not start ({type(problem).__name__})", remedy)


def _signals(environment: Mapping[str, str]) -> set[str]:
    """Return what is sent: traces, metrics, both or nothing."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return set()
    named = {signal for name, signal in ENDPOINTS.items() if environment.get(name)}
    wanted = {"traces", "metrics"} if "" in named else named
    return {each for each in wanted if environment.get(_EXPORTERS[each], "otlp") != "none"}


def _lost(subject: str, fact: str, remedy: str) -> str:
    return warning(subject, fact, "traces and metrics are not sent", remedy).message()


class _SdkSpan(Span):
    def __init__(self, span: SdkSpan) -> None:
        self.sdk = span

    def entered(self) -> AbstractContextManager[object]:
        from opentelemetry.trace import use_span

        return use_span(self.sdk, record_exception=False, set_status_on_exception=False)

    def end(self, problem: str = "", attributes: Mapping[str, str | int] | None = None) -> None:
        from opentelemetry.trace import Status, StatusCode

        if self.sdk.is_recording():
            self.sdk.set_attributes(dict(attributes or {}))
            if problem:
                self.sdk.set_status(Status(StatusCode.ERROR, problem))
            self.sdk.end()


class _Failures(logging.Handler):
    """Keeps in mind that an export failed, instead of a line on standard error for each."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen = False

    def emit(self, record: logging.LogRecord) -> None:
        self.seen = True


class _Sending(Telemetry):
    """Sends to the collector of the environment."""

    def __init__(self, process: str, environment: Mapping[str, str], signals: set[str], protocol: str) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        place = f"opentelemetry.exporter.otlp.proto.{'http' if protocol == HTTP else 'grpc'}"
        self._host = next(urlsplit(environment[name]).hostname or "" for name in ENDPOINTS if environment.get(name))
        self._failures = _Failures()
        library = logging.getLogger("opentelemetry")
        library.handlers, library.propagate = [self._failures], False
        own = {"service.name": "imagefactory", "service.version": __version__}
        resource = Resource.create({**own, **OTELResourceDetector().detect().attributes})
        self._tracing = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._exporters = []
        if "traces" in signals:
            self._exporters.append(import_module(f"{place}.trace_exporter").OTLPSpanExporter())
            self._tracing.add_span_processor(BatchSpanProcessor(self._exporters[-1]))
        readers: list[MetricReader] = []
        if "metrics" in signals:
            self._exporters.append(import_module(f"{place}.metric_exporter").OTLPMetricExporter())
            readers.append(PeriodicExportingMetricReader(self._exporters[-1]))
        self._metrics = MeterProvider(readers, resource, shutdown_on_exit=False)
        self._tracer: Tracer = self._tracing.get_tracer("imagefactory", __version__)
        # Set by a pipeline or a shell (opentelemetry.io, "Environment Variables as Context Propagation Carriers").
        carrier = {
            name: environment[name.upper()] for name in ("traceparent", "tracestate") if name.upper() in environment
        }
        outer: Context = TraceContextTextMapPropagator().extract(carrier)
        self._root = _SdkSpan(self._tracer.start_span(process, outer))
        meter = self._metrics.get_meter("imagefactory", __version__)
        self._copies = meter.create_counter("imagefactory.copies", "{copy}", "Copies that ended, by outcome")
        self._bytes = meter.create_counter("imagefactory.copy.bytes", "By", "Bytes that copies moved")
        self._retried = meter.create_counter(
            "imagefactory.copy.ranges_retried", "{range}", "Ranges that were sent again"
        )
        self._refused = meter.create_counter(
            "imagefactory.copy.requests_refused", "{request}", "Requests that a busy storage service rejected"
        )
        self._seconds = meter.create_histogram("imagefactory.copy.duration", "s", "Duration of copies, by outcome")

    def entered(self) -> AbstractContextManager[object]:
        return self._root.entered()

    def begin(self, name: str, parent: Span | None = None, at: int | None = None) -> Span:
        from opentelemetry.trace import get_current_span, set_span_in_context

        current = get_current_span()
        inside = parent if isinstance(parent, _SdkSpan) else _SdkSpan(current) if current.is_recording() else self._root
        return _SdkSpan(self._tracer.start_span(name, set_span_in_context(inside.sdk), start_time=at))

    def copied(self, event: CopyEvent) -> None:
        if event.outcome is None:
            return
        about = {"outcome": event.outcome}
        moved = event.done - event.kept
        self._copies.add(1, about)
        self._bytes.add(moved, about)
        self._retried.add(event.retried, about)
        self._refused.add(event.refused, about)
        self._seconds.record(event.seconds, about)
        place = event.place
        facts = {"account": place.account, "container": place.container, "blob": place.blob, "outcome": event.outcome}
        numbers = {"bytes": moved, "ranges_retried": event.retried, "requests_refused": event.refused}
        span = self.begin(f"copy {place.source}", at=time_ns() - round(event.seconds * 1e9))
        failed = event.message if event.outcome in {"failed", "relay lost"} else ""
        span.end(failed, {f"imagefactory.copy.{name}": value for name, value in (facts | numbers).items()})

    def flush(self) -> None:
        self._wait_for(self._tracing.force_flush, self._metrics.force_flush)

    def close(self, problem: str = "") -> str:
        self._root.end(problem)
        self._wait_for(self._tracing.shutdown, self._metrics.shutdown)
        for exporter in self._exporters:
            exporter.shutdown()  # ends attempts that are still made
        if not self._failures.seen:
            return ""
        remedy = "Check that it runs and that the variables that start with OTEL_ are right"
        fact = f"did not take all of the traces and metrics within {FLUSH_SECONDS:.0f} s"
        return warning(
            f"collector {self._host}", fact, "the rest is lost, and the run is not affected", remedy
        ).message()

    def _wait_for(self, *actions: Callable[[], Any]) -> None:
        """Run each in a thread, and wait for all; not for a collector that has failed already.

        The SDK's own timeouts do not end an export that is in progress.
        """

        def run(action: Callable[[], Any]) -> None:
            with suppress(Exception):  # it is in the log of the SDK, too
                action()
                return
            self._failures.seen = True

        threads = [threading.Thread(target=run, args=[action], daemon=True) for action in actions]
        deadline = monotonic() + (0.0 if self._failures.seen else FLUSH_SECONDS)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))
            self._failures.seen |= thread.is_alive()
