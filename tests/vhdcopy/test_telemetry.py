"""What the plugin reports of its copies: event lines in a file, traces and metrics, phases at the end of the run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.e2e.world import MIB, STAGING_CONTAINER, World
from tests.unit.telemetry.collector import collecting
from tests.vhdcopy.copying import DISK_BYTES, inputs_of, release_of, staged_equals_source
from tests.vhdcopy.plugin import COPY, RELEASE, running

START = {"event", "time", "source", "account", "container", "blob", "length"}
END = START | {"bytes", "bytesTotal", "bytesKept", "rangesRetried", "requestsRefused", "seconds", "outcome", "message"}


def events(file: Path) -> list[dict[str, Any]]:
    """The events of a file, whose lines are all complete."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


async def test_a_copy_is_seen_in_events_in_a_trace_and_in_metrics(
    world: World, shell: dict[str, str], python: Path, tmp_path: Path
) -> None:
    """With what a busy account rejected; a copy that is there already says so, in the same file."""
    file, inputs = tmp_path / "events.jsonl", inputs_of(world)
    lab, (name,) = world.labs["web"], world.images
    place = rf"/{lab.account}/{STAGING_CONTAINER}/[^?]*\.vhd.*comp=page(&|$)"
    busy = {"status": 503, "code": "ServerBusy"}
    world.cloud.set_faults([{"service": "blob", "method": "PUT", "path": place, "times": 2, "action": busy}])
    with collecting() as collector:
        shell = shell | {"IMAGEFACTORY_EVENTS": str(file), "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
        async with running(shell, python) as first:
            await first.create(COPY, inputs)
        async with running(shell, python) as second:
            answer = await second.create(COPY, inputs)
            assert await asyncio.to_thread(staged_equals_source, world)
            world.seed_standing(lab, name, {"ImagePath": "Win2016/Datacenter.json"})
            await second.create(RELEASE, release_of(inputs, dict(answer.properties)))
            await second.cancel()
            assert second.log.messages[-1].startswith("phases: copy ")
            assert "create images" in second.log.messages[-1] and "release" in second.log.messages[-1]
        assert {"chain web@1/image", "copy", "create image", "release", "imagefactory plugin"} <= set(collector.names())
        assert collector.sums("imagefactory.copies") == {"copied": 1, "already there": 1}
        assert collector.sums("imagefactory.copy.requests_refused")["copied"] == 2
        assert collector.sums("imagefactory.copy.bytes")["copied"] >= 10 * MIB
    start, end, *again = events(file)
    assert (set(start), set(end)) == (START, END)
    assert start["event"] == "copy.start" and end["event"] == "copy.end"
    assert (end["source"], end["blob"]) == (world.images[name],) * 2
    assert (end["account"], end["container"], end["length"]) == (lab.account, STAGING_CONTAINER, DISK_BYTES + 512)
    assert (end["outcome"], end["message"], end["bytesKept"]) == ("copied", None, 0)
    assert (end["rangesRetried"], end["requestsRefused"]) == (2, 2) and end["bytes"] == end["bytesTotal"] > 0
    assert [(each["event"], each.get("outcome")) for each in again] == [
        ("copy.start", None),
        ("copy.end", "already there"),
    ]


async def test_a_copy_succeeds_if_nobody_takes_its_telemetry(
    world: World, shell: dict[str, str], python: Path, tmp_path: Path
) -> None:
    """A file that cannot be written is a warning; a collector that is not there is none of the plugin's."""
    file = tmp_path / "missing" / "events.jsonl"
    dead = {"IMAGEFACTORY_EVENTS": str(file), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    async with running(shell | dead, python) as plugin:
        await plugin.create(COPY, inputs_of(world))
        await plugin.cancel()
        warnings = [message for message in plugin.log.messages if message.startswith("events file")]
    assert await asyncio.to_thread(staged_equals_source, world)
    (warning,) = warnings
    assert "events of copies are not recorded. Set IMAGEFACTORY_EVENTS" in warning
