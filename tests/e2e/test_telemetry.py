"""An update as its reader sees it: phases at its end, and one trace of the pipeline, the program and the plugin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagefactory.state.run_log import read_logs
from tests.e2e.world import World
from tests.unit.telemetry.collector import collecting

pytestmark = pytest.mark.engine

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_an_update_ends_with_its_phases_and_is_one_trace(world: World, tmp_path: Path) -> None:
    """Each phase of the program, each chain with its parts, and an event line for each end of a copy."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images(("Win2016/Datacenter.json", 5))
    file, log = tmp_path / "events.jsonl", tmp_path / "up.jsonl"
    with collecting() as collector:
        world.environment = {
            **world.environment,
            "IMAGEFACTORY_EVENTS": str(file),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "TRACEPARENT": f"00-{TRACE}-{SPAN}-01",
            "PULUMI_DEBUG_COMMANDS": "true",
        }
        run = world.up("--event-log", str(log))
    assert run.code == 0 and world.held(web) == {name: "Succeeded"}, run.output
    program = ("read configuration", "read labs", "read factory", "check VHDs", "plan", "declare")
    plugin = ("copy", "create images", "release")
    lines = [line.strip() for line in run.output.splitlines() if line.strip().startswith("phases: ")]
    assert all(any(f"{phase} " in line for line in lines) for phase in (*program, "read state", *plugin)), run.output
    assert len(lines) == 2, run.output
    assert [phase.rsplit(" ", 2)[0] for phase in read_logs([log]).phases] == [
        each.rsplit(" ", 2)[0] for line in lines for each in line.removeprefix("phases: ").split(", ")
    ]
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    roots = {span.name for span in collector.spans if span.parent_span_id.hex() == SPAN}
    assert roots >= {"imagefactory update", "imagefactory plugin"}
    assert {collector.parent(phase) for phase in program} == {"imagefactory update"}
    (chain,) = (span.name for span in collector.spans if span.name.startswith("chain web@"))
    assert chain.endswith(name)
    assert {collector.parent(part) for part in ("copy", "create image", "release")} == {chain}
    ends = [event for event in map(json.loads, file.read_text("utf-8").splitlines()) if event["event"] == "copy.end"]
    assert [(each["source"], each["outcome"]) for each in ends] == [(world.images[name], "copied")]
