"""`LabGallery` with injected faults, kills and Ctrl-C: the run or the next one reaches what is wanted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from tests.vhdcopy.gallery_labs import DEFINITIONS, GALLERY, KIND, GalleryLabs, inputs_for, refused, state_of
from tests.vhdcopy.plugin import Plugin, kept_by, running

PHASES = {
    "read attachments": {"method": "GET", "path": "/sharedgalleries\\?"},
    "attach": {"method": "PUT", "path": f"/sharedgalleries/{GALLERY}\\?"},
    "read definitions": {"method": "GET", "path": "/sharedimages"},
    "enable": {"method": "PUT", "path": "/sharedimages/Win2016"},
    "disable": {"method": "PUT", "path": "/sharedimages/Win2019"},
}
FAULTS: dict[str, dict[str, Any]] = {
    "server error": {"status": 500, "code": "InternalServerError"},
    "throttled": {"status": 429, "code": "TooManyRequests", "retryAfter": 1},
    "dropped": {"drop": True},
    "response lost": {"drop": "after"},
    "token expired": {"status": 401, "code": "ExpiredAuthenticationToken"},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_fault_in_each_phase_is_survived(labs: GalleryLabs, plugin: Plugin, fault: str) -> None:
    """The same run ends well: a request is sent again, and a write that was accepted can be repeated."""
    gallery = labs.add_gallery()
    lab = labs.add_lab("Web", gallery, "Win2019", allows="Enabled")
    rules = [{"service": "arm", "times": 1, "action": FAULTS[fault], **phase} for phase in PHASES.values()]
    labs.cloud.set_faults(rules)
    inputs = inputs_for(lab, gallery)
    assert (await plugin.create(KIND, inputs)).id == state_of(inputs)[0]
    assert [rule["hits"] for rule in labs.cloud.faults()] == [1] * len(PHASES), "every phase had its fault"
    assert labs.attached(lab) == {GALLERY: (gallery, "Disabled")} and labs.enabled(lab) == set(DEFINITIONS)


@pytest.mark.parametrize("phase", PHASES)
async def test_a_denied_request_is_an_error_and_the_next_run_goes_on(
    labs: GalleryLabs, plugin: Plugin, phase: str
) -> None:
    """One line without a retry; the state is kept from the first write on."""
    gallery = labs.add_gallery()
    lab = labs.add_lab("Web", gallery, "Win2019", allows="Enabled")
    action = {"status": 403, "code": "AuthorizationFailed"}
    labs.cloud.set_faults([{"service": "arm", "action": action, **PHASES[phase]}])
    inputs = inputs_for(lab, gallery)
    error = await refused(plugin.create(KIND, inputs))
    told, kept = str(error.details()), kept_by(error)
    assert told.startswith("lab 'Web': ") and "403 AuthorizationFailed" in told and "Grant this identity" in told
    assert [rule["hits"] for rule in labs.cloud.faults()] == [1]
    assert (kept is None) == (phase == "read attachments") and (kept is None or kept[0] == state_of(inputs)[0])
    labs.cloud.clear_faults()
    await plugin.update(KIND, *state_of(inputs), inputs)
    assert labs.attached(lab) == {GALLERY: (gallery, "Disabled")} and labs.enabled(lab) == set(DEFINITIONS)


async def test_many_labs_are_served_side_by_side(labs: GalleryLabs, plugin: Plugin) -> None:
    """Within the limit of requests that Azure throttles by; each lab gets its own definitions."""
    bucket = {"size": 20, "perSecond": 20}
    labs.cloud.set_limits({"subscriptionReads": bucket, "subscriptionWrites": bucket})
    gallery = labs.add_gallery()
    wanted = [inputs_for(labs.add_lab(f"Lab{number}"), gallery) for number in range(12)]
    await asyncio.gather(*(plugin.create(KIND, inputs) for inputs in wanted))
    assert 429 in {call["status"] for call in labs.requests()}
    labs.cloud.set_limits({})
    assert all(labs.enabled(inputs["labId"]) == set(DEFINITIONS) for inputs in wanted)


@pytest.mark.parametrize("phase", ["attach", "enable"])
async def test_ctrl_c_keeps_what_was_written_and_the_next_update_goes_on(
    labs: GalleryLabs, plugin: Plugin, phase: str
) -> None:
    """The state has id and inputs, so a destroy detaches it."""
    gallery, lab = labs.add_gallery(), labs.add_lab()
    inputs = inputs_for(lab, gallery)
    labs.cloud.set_faults([{"service": "arm", "action": {"delaySeconds": 20}, **PHASES[phase]}])
    creating = asyncio.ensure_future(refused(plugin.create(KIND, inputs)))
    await seen(labs)
    await plugin.cancel()
    error = await creating
    kept = kept_by(error)
    assert "lab 'Web': canceled; what was written is kept" in str(error.details())
    assert kept and kept[0] == state_of(inputs)[0] and kept[1]["labId"] == lab
    labs.cloud.clear_faults()
    await plugin.update(KIND, *state_of(inputs), inputs)
    assert labs.enabled(lab) == set(DEFINITIONS)


async def test_ctrl_c_before_the_first_write_keeps_nothing(labs: GalleryLabs, plugin: Plugin) -> None:
    """There is nothing that a destroy could detach."""
    inputs = inputs_for(labs.add_lab(), labs.add_gallery())
    labs.cloud.set_faults([{"service": "arm", "action": {"delaySeconds": 20}, **PHASES["read attachments"]}])
    creating = asyncio.ensure_future(refused(plugin.create(KIND, inputs)))
    await seen(labs)
    await plugin.cancel()
    error = await creating
    assert error.code() is grpc.StatusCode.CANCELLED and kept_by(error) is None and labs.writes() == []


@pytest.mark.parametrize("phase", ["attach", "read definitions", "enable"])
async def test_a_killed_provider_is_followed_by_one_that_writes_the_rest(
    labs: GalleryLabs, shell: dict[str, str], python: Path, phase: str
) -> None:
    """Without a state: the next create finds what stands, and what was written is not written again."""
    gallery, lab = labs.add_gallery(), labs.add_lab()
    inputs = inputs_for(lab, gallery)
    labs.cloud.set_faults([{"service": "arm", "action": {"delaySeconds": 20}, **PHASES[phase]}])
    async with running(shell, python) as first:
        creating = asyncio.ensure_future(unanswered(first, inputs))
        await seen(labs)
        if phase == "enable":
            while labs.enabled(lab) != {"Ubuntu.Server"}:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.02)
        await first.kill()
        await creating
    labs.cloud.clear_faults()
    labs.cloud.clear_calls()
    async with running(shell, python) as second:
        await second.create(KIND, inputs)
    assert labs.attached(lab) == {GALLERY: (gallery, "Disabled")} and labs.enabled(lab) == set(DEFINITIONS)
    rest = {"attach": {GALLERY, *DEFINITIONS}, "read definitions": set(DEFINITIONS), "enable": {"Win2016.Datacenter"}}
    assert {name for _, name in labs.writes()} == rest[phase]


async def seen(labs: GalleryLabs) -> None:
    """Wait until the call of the fault rule has come."""
    while not labs.cloud.faults()[0]["hits"]:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.02)


async def unanswered(plugin: Plugin, inputs: dict[str, Any]) -> None:
    """A create whose provider is killed."""
    with pytest.raises(grpc.aio.AioRpcError):
        await plugin.create(KIND, inputs)
