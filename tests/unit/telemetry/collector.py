"""A small OTLP collector over HTTP: parses what it gets, and keeps spans and sums."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Collector:
    """What was received; `endpoint` is its base URL."""

    endpoint: str
    spans: list[Any] = field(default_factory=list)
    resources: list[dict[str, str]] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def span(self, name: str) -> Any:
        """The only span with that name."""
        (found,) = (each for each in self.spans if each.name == name)
        return found

    def names(self) -> list[str]:
        """The names of all spans, sorted."""
        return sorted(each.name for each in self.spans)

    def parent(self, name: str) -> str:
        """The name of the span that is the parent of another; empty if it is not here."""
        parent = self.span(name).parent_span_id
        return next((each.name for each in self.spans if each.span_id == parent), "")

    def sums(self, name: str) -> dict[str, float]:
        """The last values of a counter, or the numbers of values of a histogram, by outcome."""
        found: dict[str, float] = {}
        for metric in self.metrics:
            if metric.name == name:
                for point in (*metric.sum.data_points, *metric.histogram.data_points):
                    found[attributes(point).get("outcome", "")] = getattr(point, "count", 0) or point.as_int
        return found


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of a span, a point or a resource."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in thing.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that runs until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            if self.path == "/v1/traces":
                for sent in ExportTraceServiceRequest.FromString(content).resource_spans:
                    collector.resources.append(attributes(sent.resource))
                    collector.spans += (span for scope in sent.scope_spans for span in scope.spans)
            else:
                assert self.path == "/v1/metrics"
                for found in ExportMetricsServiceRequest.FromString(content).resource_metrics:
                    collector.metrics += (metric for scope in found.scope_metrics for metric in scope.metrics)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
