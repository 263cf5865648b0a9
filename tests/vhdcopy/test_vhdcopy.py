"""The vhdcopy provider over real gRPC, against the real blob emulator: what it leaves in the storage."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from pulumi.runtime.proto import provider_pb2

from providers.vhdcopy.progress import FIRST_LINE_SECONDS
from tests.e2e.world import STAGING_CONTAINER, Lab, World
from tests.vhdcopy.copying import inputs_of, release_of, source_blob, staged_equals_source
from tests.vhdcopy.plugin import COPY, RELEASE, Plugin, kept_by, running, struct


def the_lab(world: World) -> Lab:
    return world.labs["web"]


async def until(world: World, copies: int) -> None:
    """Wait until `copies` copies have started."""
    deadline = time.monotonic() + 30
    while world.copies() < copies:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def refused_writes(world: World) -> dict[str, Any]:
    """A fault rule that rejects every range in the lab's account."""
    where = f"/{the_lab(world).account}/.*comp=page(&|$)"
    return {"service": "blob", "method": "PUT", "path": where, "action": {"status": 400, "code": "NoSuchLuck"}}


async def failure_of(call: Any) -> grpc.aio.AioRpcError:
    """Return the error of a failed call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert "Traceback" not in caught.value.details()
    return caught.value


async def test_create_stages_the_vhd_byte_for_byte_and_marks_it(world: World, plugin: Plugin) -> None:
    """The staged VHD equals the factory VHD, and its metadata names its source."""
    inputs = inputs_of(world)
    answer = await plugin.create(COPY, inputs)
    assert dict(answer.properties)["url"] == inputs["destinationUrl"] == answer.id
    assert staged_equals_source(world)
    (blob,) = world.service(the_lab(world)).get_container_client(STAGING_CONTAINER).list_blobs(include=["metadata"])
    assert blob.metadata["imagefactorysource"] == inputs["sourceUrl"]


async def test_preview_returns_the_url_and_sends_no_request(world: World, plugin: Plugin) -> None:
    """The URL is known, the copy's id is not."""
    inputs = inputs_of(world)
    world.cloud.clear_calls()
    outputs = dict((await plugin.create(COPY, inputs, preview=True)).properties)
    assert outputs["url"] == inputs["destinationUrl"] and outputs["copyId"] != ""
    assert world.cloud.calls() == []


async def test_check_rejects_a_sas_and_a_misaligned_vhd(world: World, plugin: Plugin) -> None:
    """Azure would report the second hours later, and nothing the first."""
    good = inputs_of(world)
    assert (await plugin.check(COPY, good))[1] == {}
    _, problems = await plugin.check(COPY, {**good, "sourceUrl": good["sourceUrl"] + "?sig=secret"})
    assert set(problems) == {"sourceUrl"} and "secret" not in problems["sourceUrl"]
    assert set((await plugin.check(COPY, {**good, "sourceLength": 12345.0}))[1]) == {"sourceLength"}
    assert set((await plugin.check(COPY, {"sourceUrl": good["sourceUrl"]}))[1]) == set(good) - {"sourceUrl"}


async def test_another_vhd_or_place_replaces_but_not_another_case_of_an_id(world: World, plugin: Plugin) -> None:
    """ARM ids are stored in lower case, because Azure's own casing varies from call to call."""
    inputs = inputs_of(world)
    stored, _ = await plugin.check(COPY, inputs)
    recased, _ = await plugin.check(COPY, {**inputs, "imageId": inputs["imageId"].upper()})
    assert list((await plugin.diff(COPY, stored, recased)).replaces) == []
    other = await plugin.diff(COPY, stored, {**stored, "sourceCreated": "2026-06-07T00:00:00+00:00"})
    assert list(other.replaces) == ["sourceCreated"]


async def test_a_finished_copy_is_adopted(world: World, plugin: Plugin) -> None:
    """A second create copies nothing and returns the same id."""
    inputs = inputs_of(world)
    first = await plugin.create(COPY, inputs)
    second = await plugin.create(COPY, inputs)
    assert dict(first.properties) == dict(second.properties)
    assert world.copies() == 1


async def test_a_foreign_blob_is_an_error_and_is_kept(world: World, plugin: Plugin) -> None:
    """It is neither overwritten nor removed."""
    inputs = inputs_of(world)
    await plugin.create(COPY, inputs)
    (name,) = world.staged(the_lab(world))
    blob = world.service(the_lab(world)).get_blob_client(STAGING_CONTAINER, name)
    blob.upload_blob(b"mine", overwrite=True)
    error = await failure_of(plugin.create(COPY, inputs))
    assert "it is kept" in error.details()
    await plugin.delete(COPY, inputs["destinationUrl"], inputs)
    assert blob.download_blob().readall() == b"mine"


@pytest.mark.parametrize("flaw", ["cookie", "checksum", "dynamic", "size"])
async def test_a_vhd_that_azure_would_reject_is_not_copied(world: World, plugin: Plugin, flaw: str) -> None:
    """The error names the broken footer, and nothing is staged."""
    inputs = inputs_of(world)
    blob, end = source_blob(world), int(inputs["sourceLength"])
    footer = bytearray(blob.download_blob(end - 512, 512).readall())
    if flaw == "cookie":
        footer[0:8] = b"nonsense"
    elif flaw == "checksum":
        footer[64] ^= 1
    else:
        if flaw == "dynamic":
            footer[63] = 3
        else:
            footer[54] ^= 0x10
        footer[64:68] = (~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF).to_bytes(4, "big")
    blob.upload_page(bytes(footer), end - 512, 512)
    error = await failure_of(plugin.create(COPY, inputs))
    assert "Azure would reject it" in error.details()
    assert world.staged(the_lab(world)) == []


async def test_a_source_that_was_deleted_or_rewritten_is_named(world: World, plugin: Plugin) -> None:
    """The plan was made from an earlier version of the VHD."""
    inputs = inputs_of(world)
    error = await failure_of(plugin.create(COPY, {**inputs, "sourceCreated": "2020-01-01T00:00:00+00:00"}))
    assert "rewritten after planning" in error.details()
    error = await failure_of(plugin.create(COPY, {**inputs, "sourceUrl": inputs["sourceUrl"] + "x"}))
    assert "no longer exists" in error.details()
    assert world.staged(the_lab(world)) == []


async def test_a_failed_copy_is_kept_in_the_state_and_the_update_finishes_it(world: World, plugin: Plugin) -> None:
    """The failure has id and outputs, so the engine keeps the resource and calls Update in the next run."""
    inputs = inputs_of(world)
    world.cloud.set_faults([refused_writes(world)])
    error = await failure_of(plugin.create(COPY, inputs))
    kept = kept_by(error)
    assert kept is not None
    id, outputs, reasons = kept
    assert id == inputs["destinationUrl"] and outputs["url"] == id
    assert "NoSuchLuck" in reasons[0]
    request = provider_pb2.ReadRequest(urn=plugin.urn(COPY), id=id, properties=struct(outputs), inputs=struct(inputs))
    unfinished = kept_by(await failure_of(plugin.stub.Read(request)))
    assert unfinished is not None and unfinished[0] == id, "a refresh does not forget that it failed"
    world.cloud.clear_faults()
    outputs = await plugin.update(COPY, id, outputs, inputs)
    assert outputs["copyId"] and staged_equals_source(world)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_service_is_retried(world: World, plugin: Plugin, status: int) -> None:
    """Throttling and temporary errors do not fail the copy."""
    inputs = inputs_of(world)
    busy = {"status": status, "code": "ServerBusy", "retryAfter": 0}
    world.cloud.set_faults([{"service": "blob", "times": 2, "path": f"/{the_lab(world).account}/", "action": busy}])
    await plugin.create(COPY, inputs)
    assert staged_equals_source(world)


async def test_a_dropped_connection_is_retried(world: World, plugin: Plugin) -> None:
    """A closed connection does not fail the copy."""
    inputs = inputs_of(world)
    world.cloud.set_faults(
        [{"service": "blob", "times": 1, "path": f"/{the_lab(world).account}/", "action": {"drop": True}}]
    )
    await plugin.create(COPY, inputs)
    assert staged_equals_source(world)


async def test_progress_reaches_the_engines_log(world: World, plugin: Plugin) -> None:
    """A copy of some seconds shows its share and its bytes."""
    inputs = inputs_of(world)
    world.cloud.set_latencies({"pageSeconds": FIRST_LINE_SECONDS + 0.2})
    await plugin.create(COPY, inputs)
    world.cloud.set_latencies({})
    assert any(" %" in message and " MiB" in message for message in plugin.log.messages)
    assert staged_equals_source(world)


async def test_cancel_stops_the_copy_and_the_next_run_resumes_it(world: World, plugin: Plugin) -> None:
    """After Cancel the resource is kept in the state, and the copied ranges in the storage."""
    inputs = inputs_of(world)
    world.cloud.set_latencies({"pageSeconds": 20})
    creating = asyncio.ensure_future(failure_of(plugin.create(COPY, inputs)))
    await until(world, copies=1)
    await plugin.cancel()
    error = await creating
    kept = kept_by(error)
    assert kept is not None and kept[0] == inputs["destinationUrl"] and "canceled" in kept[2][0]
    world.cloud.set_latencies({})
    await plugin.update(COPY, kept[0], kept[1], inputs)
    assert world.copies() == 1 and staged_equals_source(world)


async def test_the_last_cancel_logs_the_totals_of_the_run(world: World, plugin: Plugin) -> None:
    """Moved, empty and retried ranges and the time, only once no copy runs."""
    await plugin.create(COPY, inputs_of(world))
    assert not any("VHDs copied" in message for message in plugin.log.messages)
    await plugin.cancel()
    (totals,) = [message for message in plugin.log.messages if "copied in" in message]
    assert totals.startswith("1 VHD ") and "skipped as empty" in totals and "0 ranges retried" in totals


async def test_a_staged_vhd_is_kept_until_the_last_image_that_needs_it_exists(world: World, plugin: Plugin) -> None:
    """Two images of an account share it: the first release keeps it, the second removes it."""
    ((name, _),) = world.images.items()
    first = inputs_of(world)
    second = {**first, "imageId": first["imageId"].replace(name.lower(), "other")}
    copies = await asyncio.gather(plugin.create(COPY, first), plugin.create(COPY, second))
    assert world.copies() == 1 and dict(copies[0].properties) == dict(copies[1].properties)
    for image_id, left in ((first["imageId"], 1), (second["imageId"], 0)):
        world.seed_standing(the_lab(world), image_id.rpartition("/")[2], {"ImagePath": "Win2016/Datacenter.json"})
        release = release_of({**first, "imageId": image_id}, dict(copies[0].properties))
        await plugin.create(RELEASE, release)
        assert len(world.staged(the_lab(world))) == left


async def test_cancel_keeps_a_staged_vhd_while_azure_creates_its_image(world: World, plugin: Plugin) -> None:
    """A run that waits for an image of an earlier run is canceled: the VHD is still needed."""
    ((name, _),) = world.images.items()
    inputs = inputs_of(world)
    await plugin.create(COPY, inputs)
    world.seed_standing(the_lab(world), name, {"ImagePath": "Win2016/Datacenter.json"}, state="Creating")
    creating = asyncio.ensure_future(failure_of(plugin.create(COPY, inputs)))
    deadline = time.monotonic() + 30
    while not any("waiting for custom image" in message for message in plugin.log.messages):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    await plugin.cancel()
    error = await creating
    assert "the next pulumi up resumes" in error.details()
    assert len(world.staged(the_lab(world))) == 1


async def test_a_killed_provider_leaves_a_copy_that_the_next_one_takes_up(
    world: World, shell: dict[str, str], python: Path
) -> None:
    """After kill -9 the next provider goes on with the same staged VHD, and starts no other."""
    inputs = inputs_of(world)
    world.cloud.set_latencies({"pageSeconds": 2})
    async with running(shell, python) as first:
        creating = asyncio.ensure_future(failure_of(first.create(COPY, inputs)))
        await until(world, copies=1)
        await first.kill()
        await creating
    async with running(shell, python) as second:
        await second.create(COPY, inputs)
    assert world.copies() == 1 and staged_equals_source(world)


async def test_nothing_is_copied_for_an_existing_image(world: World, plugin: Plugin) -> None:
    """An image that the factory created is adopted; one that it did not create is an error."""
    ((name, _),) = world.images.items()
    inputs = inputs_of(world)
    world.seed_standing(the_lab(world), name, {"ImagePath": "Win2016\\Datacenter.json"})
    assert dict((await plugin.create(COPY, inputs)).properties)["copyId"] == "none"
    assert world.copies() == 0
    world.seed_standing(the_lab(world), "other", {})
    foreign = {**inputs, "imageId": inputs["imageId"].replace(name.lower(), "other")}
    assert "the factory did not create it" in (await failure_of(plugin.create(COPY, foreign))).details()


async def test_a_release_deletes_the_staged_vhd_only_if_its_image_exists(world: World, plugin: Plugin) -> None:
    """Without the image the VHD is kept, because it is needed again; a second release is no error."""
    ((name, _),) = world.images.items()
    copy = inputs_of(world)
    release = release_of(copy, dict((await plugin.create(COPY, copy)).properties))
    assert "does not exist" in (await failure_of(plugin.create(RELEASE, release))).details()
    assert len(world.staged(the_lab(world))) == 1
    world.seed_standing(the_lab(world), name, {"ImagePath": "Win2016\\Datacenter.json"})
    await plugin.create(RELEASE, release)
    assert world.staged(the_lab(world)) == []
    await plugin.create(RELEASE, release)


async def test_no_error_contains_a_key_or_a_sas(world: World, plugin: Plugin) -> None:
    """The error of a denied request has neither the URL's query nor a key."""
    inputs = inputs_of(world)
    refusal = {"status": 403, "code": "AuthorizationFailure"}
    world.cloud.set_faults([{"service": "blob", "path": f"/{the_lab(world).account}/", "action": refusal}])
    message = (await failure_of(plugin.create(COPY, inputs))).details()
    assert "403" in message and "sig=" not in message
    assert all(account["key"] not in message for account in world.cloud.status()["storageAccounts"])
