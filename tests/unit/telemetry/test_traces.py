"""Traces and metrics reach a collector as OTLP; without one, or with a dead one, a run is as it was."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import get_args

import pytest

from imagefactory import __version__
from imagefactory.copying.copier import CopyError
from imagefactory.telemetry.chains import Chains
from imagefactory.telemetry.copy_events import CopyEvent, Outcome, Place
from imagefactory.telemetry.traces import EXTRA, NONE, telemetry
from tests.unit.telemetry.collector import Collector, attributes, collecting

PLACE = Place("a.vhd", "webstorage", "imagefactory-staging", "b.vhd", 1024)
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector, which the environment of this process names: the SDK reads that."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        yield collector


@contextmanager
def silence(*, backlog: bool) -> Iterator[str]:
    """The URL of a collector that is not there, or takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if backlog:
            listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if backlog:
            yield url
    if not backlog:
        yield url


def ended(outcome: Outcome, message: str = "") -> CopyEvent:
    """A copy of 90 bytes with 10 from before, 3 ranges sent again, 2 of them because the service was busy."""
    now = datetime.now(timezone.utc)
    return CopyEvent("copy.end", now, PLACE, 1.5, 100, 10, 100, 3, 2, outcome, message)


def test_a_chain_is_one_span_with_one_for_each_of_its_parts(collector: Collector) -> None:
    """The copy, the creation of the custom image between copy and release, and the release."""
    traces, warning = telemetry("imagefactory plugin")
    chains = Chains(traces)
    with chains.part("copy", "web@1/image"):
        traces.copied(ended("copied"))
    with chains.part("release", "web@1/image"):
        pass
    assert (warning, traces.close()) == ("", "")
    assert collector.names() == [
        "chain web@1/image",
        "copy",
        "copy a.vhd",
        "create image",
        "imagefactory plugin",
        "release",
    ]
    assert [collector.parent(name) for name in ("copy", "create image", "release")] == ["chain web@1/image"] * 3
    assert collector.parent("copy a.vhd") == "copy"
    about = attributes(collector.span("copy a.vhd"))
    assert (about["imagefactory.copy.outcome"], about["imagefactory.copy.bytes"]) == ("copied", 90)
    assert collector.parent("chain web@1/image") == "imagefactory plugin"
    created = collector.span("create image")
    assert collector.span("copy").end_time_unix_nano <= created.start_time_unix_nano
    assert created.end_time_unix_nano <= collector.span("release").start_time_unix_nano
    assert list(chains.phases.seconds) == ["copy", "create images", "release"]


def test_a_part_that_fails_ends_its_chain_with_the_reason_and_without_a_secret(collector: Collector) -> None:
    """A chain whose image was not created fails too, at the end of the run."""
    traces, _ = telemetry("imagefactory plugin")
    chains = Chains(traces)
    with pytest.raises(CopyError), chains.part("copy", "one"):
        raise CopyError("x.vhd: failed at https://a.example/x.vhd?sv=1&sig=topsecret; it is not copied. Run again")
    with pytest.raises(ValueError), chains.part("copy", "two"):
        raise ValueError("topsecret")
    with chains.part("copy", "three"):
        pass
    chains.close()
    traces.close()
    status = {span.name: span.status for span in collector.spans if span.name.startswith("chain")}
    assert {name: each.code for name, each in status.items()} == {"chain one": 2, "chain two": 2, "chain three": 2}
    assert status["chain one"].message.startswith("x.vhd: failed at") and "Run again" in status["chain one"].message
    assert status["chain two"].message == "ValueError"
    assert status["chain three"].message == "the custom image was not created in this run"
    assert "topsecret" not in str(collector.spans)


def test_copies_are_counted_by_outcome(collector: Collector) -> None:
    """Copies, bytes that they moved, ranges and requests that were sent again, and their durations."""
    traces, _ = telemetry("imagefactory save")
    outcomes = get_args(Outcome)
    for outcome in outcomes:
        traces.copied(ended(outcome))
    traces.copied(ended("copied"))
    traces.close()
    once = dict.fromkeys(outcomes, 1.0)
    assert collector.sums("imagefactory.copies") == once | {"copied": 2}
    assert collector.sums("imagefactory.copy.bytes") == dict.fromkeys(outcomes, 90.0) | {"copied": 180}
    assert collector.sums("imagefactory.copy.ranges_retried")["copied"] == 6
    assert collector.sums("imagefactory.copy.requests_refused")["copied"] == 4
    assert collector.sums("imagefactory.copy.duration") == once | {"copied": 2}


def test_all_spans_join_the_trace_of_the_pipeline(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """The span of the process is below the one that TRACEPARENT names; a value that is not one is ignored."""
    monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-{SPAN}-01")
    traces, _ = telemetry("imagefactory save")
    with traces.entered(), traces.span("plan"):
        pass
    traces.close()
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert collector.span("imagefactory save").parent_span_id.hex() == SPAN
    assert collector.parent("plan") == "imagefactory save"
    monkeypatch.setenv("TRACEPARENT", "nonsense")
    traces, _ = telemetry("imagefactory plan")
    traces.close()
    assert collector.span("imagefactory plan").parent_span_id == b""


def test_the_standard_variables_are_honored(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Service, resource attributes and headers; a disabled SDK, and signals that are not exported."""
    telemetry("default")[0].close()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "images of production")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=prod")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=topsecret")
    telemetry("named")[0].close()
    own, named = collector.resources
    assert (own["service.name"], own["service.version"]) == ("imagefactory", __version__)
    assert (named["service.name"], named["deployment.environment"]) == ("images of production", "prod")
    assert collector.headers[-1]["api-key"] == "topsecret"
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    traces, _ = telemetry("only metrics")
    traces.copied(ended("copied"))
    traces.close()
    assert len(collector.resources) == 2 and collector.metrics
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert telemetry("disabled") == (NONE, "")


def test_without_a_collector_nothing_is_loaded_and_nothing_is_sent() -> None:
    """Not even the API of OpenTelemetry, which takes long."""
    assert telemetry("any", {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) == (NONE, "")
    code = "import sys; from imagefactory.telemetry.traces import telemetry; telemetry('any', {}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "imagefactory.telemetry.traces" in loaded and "opentelemetry" not in loaded
    with NONE.entered(), NONE.span("phase"):
        NONE.copied(ended("copied"))
    assert NONE.close() == ""


def test_without_the_extra_there_is_one_warning_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on; with OTLP over gRPC, which Pulumi installs, the extra is not needed."""
    for name in ("trace_exporter", "metric_exporter"):
        monkeypatch.setitem(sys.modules, f"opentelemetry.exporter.otlp.proto.http.{name}", None)
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    traces, warning = telemetry("any", environment)
    assert traces is NONE
    assert EXTRA in warning and "pip install -r requirements-otel.txt" in warning and "\n" not in warning
    traces, warning = telemetry("any", environment | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert traces is not NONE and warning == ""


@pytest.mark.parametrize(
    ("variable", "value"), [("OTEL_BSP_MAX_QUEUE_SIZE", "-1"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/xml")]
)
def test_variables_that_the_sdk_does_not_take_are_a_warning(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A run never fails because of its telemetry."""
    monkeypatch.setenv(variable, value)
    traces, warning = telemetry("any")
    assert traces is NONE and "traces and metrics are not sent" in warning


@pytest.mark.parametrize("backlog", [True, False], ids=["hangs", "refuses"])
def test_a_dead_collector_is_one_warning_that_names_its_host(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], backlog: bool
) -> None:
    """The process does not wait until the SDK gives up, and prints nothing of its log; the URL is not repeated."""
    with silence(backlog=backlog) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{url}/topsecret")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
        monkeypatch.setattr("imagefactory.telemetry.traces.FLUSH_SECONDS", 0.2)
        traces, _ = telemetry("any")
        traces.copied(ended("copied"))
        traces.flush()
        warning = asyncio.run(asyncio.to_thread(traces.close))
    assert warning.startswith("collector 127.0.0.1: did not take all of the traces and metrics")
    assert "topsecret" not in warning
    assert capsys.readouterr() == ("", "")
