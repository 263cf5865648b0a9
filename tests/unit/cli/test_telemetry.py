"""What commands tell others: a trace of their phases, events of copies, and a message to a channel."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagefactory.factory_lab.save_run import SaveReport, SaveRequest
from imagefactory.telemetry.copy_events import CopyEvent, Place
from imagefactory.telemetry.phases import phase
from tests.unit.builders import NOON, SUBSCRIPTION
from tests.unit.cli.conftest import STACK, Printed, Verb
from tests.unit.planning.factory.test_save_plan import planned
from tests.unit.state import run_events
from tests.unit.telemetry.collector import Collector, collecting
from tests.unit.telemetry.test_webhook import Webhook, webhook

EVENT = CopyEvent("copy.end", NOON, Place("disk:1", "factory", "imagefactoryvhds", "a.vhd", 1), outcome="copied")


def copying(*, failed: bool = False) -> dict[str, Callable[..., Any]]:
    """Replaces a save by one that makes one copy."""

    async def run(_: Any, request: SaveRequest, *__: Any) -> SaveReport:
        with phase("save"):
            for observer in request.observers:
                observer(EVENT)
        return SaveReport(planned(), False, (), (), ("it failed",) * failed, (), (), "")

    return {"imagefactory.factory_lab.save_run.run": run}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        yield collector


def test_a_command_is_a_span_with_its_phases_and_copies(verb: Verb, collector: Collector) -> None:
    """With its exit code as the status, if it failed."""
    assert verb("save", instead=copying()).code == 0
    assert collector.parent("save") == "imagefactory save" and collector.parent("copy disk:1") == "save"
    assert collector.span("imagefactory save").status.code == 0
    assert collector.sums("imagefactory.copies") == {"copied": 1}
    collector.spans.clear()
    assert verb("save", instead=copying(failed=True)).code == 1
    status = collector.span("imagefactory save").status
    assert (status.code, status.message) == (2, "exit code 1")


def test_a_command_says_once_that_there_is_no_collector_and_ends_as_without(
    verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its report and exit code are the same."""
    without = verb("save", "--json", instead=copying())
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("imagefactory.telemetry.traces.FLUSH_SECONDS", 0.2)
    shown = verb("save", "--json", instead=copying())
    assert (shown.code, shown.out) == (without.code, without.out)
    assert shown.err.count("warning: collector 127.0.0.1: did not take all") == 1


def test_events_go_to_a_file_to_standard_output_or_nowhere(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is the default of the option; standard output is not for two documents."""
    assert verb("save", "--events", "a.jsonl", instead=copying()).code == 0
    monkeypatch.setenv("IMAGEFACTORY_EVENTS", "b.jsonl")
    assert verb("save", instead=copying()).code == 0
    lines = [json.loads(Path(name).read_text("utf-8")) for name in ("a.jsonl", "b.jsonl")]
    assert lines == [EVENT.to_dict()] * 2
    shown = verb("save", "--events", "-", instead=copying())
    assert json.loads(shown.out.splitlines()[0]) == EVENT.to_dict()
    assert verb("save", "--events", "-", "--json", instead=copying()).code == 2
    refused = verb("save", "--events", "missing/a.jsonl", instead=copying())
    assert refused.code == 2 and "events file a.jsonl: cannot be written" in refused.err


def summary(verb: Verb, *options: str, change: str = "create", **notify: str) -> Printed:
    """A summary of a run with one image, by a stack with these settings."""
    factory = {"subscriptionId": SUBSCRIPTION, "labName": "factory"}
    config = {"imagefactory:factory": factory, "imagefactory:notify": notify}
    Path(f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump({"config": config}), "utf-8")
    lines = [*run_events.lab("web@05d17100"), *run_events.image("web@05d17100/new", change)]
    lines += [run_events.diagnostic("phases: copy 12 s, release 0.1 s", severity="info")]
    Path("up.jsonl").write_text("\n".join([*lines, run_events.summary("succeeded")]), "utf-8")
    return verb("summary", "up.jsonl", *options)


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """A webhook that the environment names."""
    with webhook() as channel:
        monkeypatch.setenv("IMAGEFACTORY_NOTIFY_URL", channel.url)
        yield channel


def test_a_channel_is_told_on_request_of_what_changed(
    verb: Verb, channel: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the form of the settings, by the variable that they name; not without --notify, and not of nothing."""
    assert summary(verb).code == 0 and summary(verb, "--notify", change="same").code == 0
    assert channel.bodies == []
    told = summary(verb, "--notify", format="json")
    assert (told.code, told.err) == (0, "")
    assert channel.bodies.pop()["labs"][0]["images"][0]["outcome"] == "created"
    monkeypatch.setenv("CHANNEL", channel.url)
    monkeypatch.delenv("IMAGEFACTORY_NOTIFY_URL")
    summary(verb, "--notify", format="slack", url="CHANNEL")
    assert channel.bodies.pop()["blocks"][0]["type"] == "header"
    assert "IMAGEFACTORY_NOTIFY_URL is not set; no message is sent" in summary(verb, "--notify").err


def test_a_message_that_is_not_sent_changes_no_result(
    verb: Verb, channel: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a warning with the host; likewise if the settings cannot be read. No secret is shown."""
    channel.answers.append((404, {}))
    told = summary(verb, "--notify")
    assert told.code == 0 and "warning: webhook 127.0.0.1: returned 404" in told.err
    told = summary(verb, "--notify", url="https://hooks.example/topsecret")
    assert (
        told.code == 0 and "setting imagefactory:notify.url: expected the name of an environment variable" in told.err
    )
    assert "topsecret" not in told.err + told.out


def test_a_summary_ends_with_the_phases_of_the_run(verb: Verb) -> None:
    """As program and plugin logged them."""
    assert "phases: copy 12 s, release 0.1 s" in summary(verb).out
    assert summary(verb, "--format", "json").document["phases"] == ["copy 12 s", "release 0.1 s"]
