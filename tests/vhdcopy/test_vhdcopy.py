"""The vhdcopy provider over real gRPC, against the real blob emulator: what it leaves in the storage is what counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.proto import provider_pb2

from imagefactory.copying.copier import LONGEST_WAIT, SHORTEST_WAIT, Progress, poll_delay
from imagefactory.copying.totals import describe
from tests.e2e.world import FACTORY_CONTAINER, STAGING_CONTAINER, Lab, World
from tests.vhdcopy.plugin import COPY, RELEASE, Plugin, kept_by, running, struct


@pytest_asyncio.fixture
async def plugin(shell: dict[str, str], python: Path) -> AsyncIterator[Plugin]:
    """A running provider."""
    async with running(shell, python) as plugin:
        yield plugin


def the_lab(world: World) -> Lab:
    return world.labs["web"]


def inputs_of(world: World, **changes: Any) -> dict[str, Any]:
    """The inputs of a VhdCopy of the world's one image into its one lab."""
    ((name, vhd),) = world.images.items()
    blob = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd)
    properties = blob.get_blob_properties()
    accounts = {each["name"]: each["id"] for each in world.cloud.status()["storageAccounts"]}
    lab = the_lab(world)
    service = world.service(lab)
    return {
        "sourceUrl": blob.url,
        "sourceAccountId": accounts[world.factory.account].lower(),
        "sourceLength": properties.size,
        "sourceCreated": properties.creation_time.isoformat(),
        "destinationUrl": f"{service.url.rstrip('/')}/{STAGING_CONTAINER}/{vhd}",
        "destinationAccountId": accounts[lab.account].lower(),
        "imageId": f"{lab.id}/customimages/{name}".lower(),
        **changes,
    }


def staged_equals_source(world: World) -> bool:
    """Byte for byte."""
    (staged,) = world.staged(the_lab(world))
    (vhd,) = world.images.values()
    return world.bytes_of(the_lab(world), STAGING_CONTAINER, staged) == world.bytes_of(
        world.factory, FACTORY_CONTAINER, vhd
    )


async def until(world: World, copies: int) -> None:
    """Until the service has been asked for so many copies."""
    deadline = time.monotonic() + 30
    while world.copies() < copies:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def refused_writes(world: World) -> dict[str, Any]:
    """A fault rule: no range can be written in the lab's account."""
    where = f"/{the_lab(world).account}/.*comp=page(&|$)"
    return {"service": "blob", "method": "PUT", "path": where, "action": {"status": 400, "code": "NoSuchLuck"}}


async def failure_of(call: Any) -> grpc.aio.AioRpcError:
    """The error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert "Traceback" not in caught.value.details()
    return caught.value


async def test_create_stages_the_vhd_byte_for_byte_and_marks_it(world: World, plugin: Plugin) -> None:
    """The staged VHD equals the factory's, and its metadata tell whose it is."""
    inputs = inputs_of(world)
    answer = await plugin.create(COPY, inputs)
    assert dict(answer.properties)["url"] == inputs["destinationUrl"] == answer.id
    assert staged_equals_source(world)
    (blob,) = world.service(the_lab(world)).get_container_client(STAGING_CONTAINER).list_blobs(include=["metadata"])
    assert blob.metadata["imagefactorysource"] == inputs["sourceUrl"]


async def test_preview_tells_the_url_and_touches_nothing(world: World, plugin: Plugin) -> None:
    """The URL is known, the copy's id is not, and no request was sent."""
    inputs = inputs_of(world)
    world.cloud.clear_calls()
    outputs = dict((await plugin.create(COPY, inputs, preview=True)).properties)
    assert outputs["url"] == inputs["destinationUrl"] and outputs["copyId"] != ""
    assert world.cloud.calls() == []


async def test_check_refuses_a_sas_and_a_misaligned_vhd(world: World, plugin: Plugin) -> None:
    """Both would be noticed hours later, or never."""
    good = inputs_of(world)
    assert (await plugin.check(COPY, good))[1] == {}
    _, faults = await plugin.check(COPY, {**good, "sourceUrl": good["sourceUrl"] + "?sig=secret"})
    assert set(faults) == {"sourceUrl"} and "secret" not in faults["sourceUrl"]
    assert set((await plugin.check(COPY, {**good, "sourceLength": 12345.0}))[1]) == {"sourceLength"}
    assert set((await plugin.check(COPY, {"sourceUrl": good["sourceUrl"]}))[1]) == set(good) - {"sourceUrl"}


async def test_only_another_vhd_or_place_replaces_never_the_casing_of_an_id(world: World, plugin: Plugin) -> None:
    """ARM ids are stored in lower case, for Azure's own casing varies from call to call."""
    inputs = inputs_of(world)
    stored, _ = await plugin.check(COPY, inputs)
    recased, _ = await plugin.check(COPY, {**inputs, "imageId": inputs["imageId"].upper()})
    assert list((await plugin.diff(COPY, stored, recased)).replaces) == []
    other = await plugin.diff(COPY, stored, {**stored, "sourceCreated": "2026-06-07T00:00:00+00:00"})
    assert list(other.replaces) == ["sourceCreated"]


async def test_a_finished_copy_is_taken_over(world: World, plugin: Plugin) -> None:
    """A second create copies nothing and gives the same id."""
    inputs = inputs_of(world)
    first = await plugin.create(COPY, inputs)
    second = await plugin.create(COPY, inputs)
    assert dict(first.properties) == dict(second.properties)
    assert world.copies() == 1


async def test_a_foreign_blob_is_an_error_and_stays(world: World, plugin: Plugin) -> None:
    """What somebody else put there is neither overwritten nor removed."""
    inputs = inputs_of(world)
    await plugin.create(COPY, inputs)
    (name,) = world.staged(the_lab(world))
    blob = world.service(the_lab(world)).get_blob_client(STAGING_CONTAINER, name)
    blob.upload_blob(b"mine", overwrite=True)
    error = await failure_of(plugin.create(COPY, inputs))
    assert "left alone" in error.details()
    await plugin.delete(COPY, inputs["destinationUrl"], inputs)
    assert blob.download_blob().readall() == b"mine"


@pytest.mark.parametrize("flaw", ["cookie", "checksum", "dynamic", "size"])
async def test_a_vhd_that_azure_would_refuse_is_refused_before_it_is_copied(
    world: World, plugin: Plugin, flaw: str
) -> None:
    """A broken footer is named, and nothing is staged."""
    inputs = inputs_of(world)
    (vhd,) = world.images.values()
    blob = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd)
    end = inputs["sourceLength"]
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
    assert "Azure would refuse it" in error.details()
    assert world.staged(the_lab(world)) == []


async def test_a_source_that_is_gone_or_was_written_anew_is_named(world: World, plugin: Plugin) -> None:
    """The plan was made from another VHD than the one that is there."""
    inputs = inputs_of(world)
    error = await failure_of(plugin.create(COPY, {**inputs, "sourceCreated": "2020-01-01T00:00:00+00:00"}))
    assert "written anew" in error.details()
    error = await failure_of(plugin.create(COPY, {**inputs, "sourceUrl": inputs["sourceUrl"] + "x"}))
    assert "is gone" in error.details()
    assert world.staged(the_lab(world)) == []


async def test_a_failed_copy_is_kept_in_the_state_and_the_update_finishes_it(world: World, plugin: Plugin) -> None:
    """The failure carries id and outputs, so the engine keeps the resource and calls Update at the next up."""
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
async def test_a_busy_service_is_tried_again(world: World, plugin: Plugin, status: int) -> None:
    """Throttling and passing failures are no failures of the copy."""
    inputs = inputs_of(world)
    busy = {"status": status, "code": "ServerBusy", "retryAfter": 0}
    world.cloud.set_faults([{"service": "blob", "times": 2, "path": f"/{the_lab(world).account}/", "action": busy}])
    await plugin.create(COPY, inputs)
    assert staged_equals_source(world)


async def test_a_dropped_connection_is_tried_again(world: World, plugin: Plugin) -> None:
    """A connection that the service cuts is no failure of the copy."""
    inputs = inputs_of(world)
    world.cloud.set_faults(
        [{"service": "blob", "times": 1, "path": f"/{the_lab(world).account}/", "action": {"drop": True}}]
    )
    await plugin.create(COPY, inputs)
    assert staged_equals_source(world)


async def test_progress_reaches_the_engines_log(world: World, plugin: Plugin) -> None:
    """A copy that takes a while tells how far it is."""
    inputs = inputs_of(world)
    await plugin.create(COPY, inputs)
    assert any(" %" in message and " MiB" in message for message in plugin.log.messages)
    assert staged_equals_source(world)


async def test_cancel_stops_the_copy_and_keeps_it_for_the_next_run(world: World, plugin: Plugin) -> None:
    """The engine's Cancel ends it with the resource kept in the state and what was moved kept in the storage."""
    inputs = inputs_of(world)
    world.cloud.set_latencies({"pageSeconds": 20})
    creating = asyncio.ensure_future(failure_of(plugin.create(COPY, inputs)))
    await until(world, copies=1)
    await plugin.cancel()
    error = await creating
    kept = kept_by(error)
    assert kept is not None and kept[0] == inputs["destinationUrl"] and "stopped by the user" in kept[2][0]
    world.cloud.set_latencies({})
    await plugin.update(COPY, kept[0], kept[1], inputs)
    assert world.copies() == 1 and staged_equals_source(world)


async def test_the_last_cancel_sums_the_run_up(world: World, plugin: Plugin) -> None:
    """Moved, empty, retried and the time, when nothing runs any more; before that it is not said."""
    await plugin.create(COPY, inputs_of(world))
    assert not any("VHDs copied" in message for message in plugin.log.messages)
    await plugin.cancel()
    (told,) = [message for message in plugin.log.messages if "copied in" in message]
    assert told.startswith("1 VHD ") and "skipped as empty" in told and "0 ranges retried" in told


async def test_a_staged_vhd_is_kept_until_the_last_image_that_needs_it_stands(world: World, plugin: Plugin) -> None:
    """Two images of one account share it: the first release leaves it, the second removes it."""
    ((name, _),) = world.images.items()
    first = inputs_of(world)
    second = {**first, "imageId": first["imageId"].replace(name.lower(), "other")}
    copies = await asyncio.gather(plugin.create(COPY, first), plugin.create(COPY, second))
    assert world.copies() == 1 and dict(copies[0].properties) == dict(copies[1].properties)
    for image_id, left in ((first["imageId"], 1), (second["imageId"], 0)):
        world.seed_standing(the_lab(world), image_id.rpartition("/")[2], {"ImagePath": "Win2016/Datacenter.json"})
        outputs = dict(copies[0].properties)
        release = {"url": outputs["url"], "accountId": first["destinationAccountId"], "copyId": outputs["copyId"]}
        await plugin.create(RELEASE, {**release, "imageId": image_id})
        assert len(world.staged(the_lab(world))) == left


async def test_cancel_keeps_a_staged_vhd_of_which_azure_is_making_the_image(world: World, plugin: Plugin) -> None:
    """A run that waits for an image of an earlier run is stopped: the VHD is still needed."""
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
    assert "the next up goes on" in error.details()
    assert len(world.staged(the_lab(world))) == 1


async def test_a_killed_provider_leaves_a_copy_that_the_next_one_takes_up(
    world: World, shell: dict[str, str], python: Path
) -> None:
    """After kill -9 the next provider goes on with the same staged VHD, and starts no other."""
    inputs = inputs_of(world)
    world.cloud.set_latencies({"pageSeconds": 2})
    async with running(shell) as first:
        creating = asyncio.ensure_future(failure_of(first.create(COPY, inputs)))
        await until(world, copies=1)
        await first.kill()
        await creating
    async with running(shell, python) as second:
        await second.create(COPY, inputs)
    assert world.copies() == 1 and staged_equals_source(world)


async def test_nothing_is_copied_for_an_image_that_stands(world: World, plugin: Plugin) -> None:
    """An image that the factory made is taken over; one that it did not make is an error."""
    ((name, _),) = world.images.items()
    inputs = inputs_of(world)
    world.seed_standing(the_lab(world), name, {"ImagePath": "Win2016\\Datacenter.json"})
    assert dict((await plugin.create(COPY, inputs)).properties)["copyId"] == "none"
    assert world.copies() == 0
    world.seed_standing(the_lab(world), "other", {})
    foreign = {**inputs, "imageId": inputs["imageId"].replace(name.lower(), "other")}
    assert "not made by the factory" in (await failure_of(plugin.create(COPY, foreign))).details()


async def test_refresh_finds_a_copy_gone_only_without_its_image_and_without_its_vhd(
    world: World, plugin: Plugin
) -> None:
    """A released VHD is no drift while the image stands; what cannot be read is not gone."""
    ((name, _),) = world.images.items()
    inputs = inputs_of(world)
    answer = await plugin.create(COPY, inputs)
    assert await plugin.read(COPY, answer.id, inputs) == answer.id
    await plugin.delete(COPY, answer.id, inputs)
    await plugin.delete(COPY, answer.id, inputs)
    assert world.staged(the_lab(world)) == []
    assert await plugin.read(COPY, answer.id, inputs) == ""
    refusal = {"status": 403, "code": "AuthorizationFailed"}
    world.cloud.set_faults([{"service": "arm", "path": "customimages", "action": refusal}])
    assert await plugin.read(COPY, answer.id, inputs) == answer.id
    assert any("kept as it was" in message for message in plugin.log.messages)
    world.cloud.clear_faults()
    world.seed_standing(the_lab(world), name, {"ImagePath": "Win2016\\Datacenter.json"})
    assert await plugin.read(COPY, answer.id, inputs) == answer.id


async def test_a_lab_that_is_gone_with_its_storage_account_can_leave_the_state(world: World, plugin: Plugin) -> None:
    """Where the account no longer exists there is nothing to delete, and a refresh finds the copy gone."""
    inputs = inputs_of(world)
    account = "/subscriptions/0/resourcegroups/r/providers/microsoft.storage/storageaccounts/gone"
    inputs["destinationAccountId"] = account
    await plugin.delete(COPY, "id", inputs)
    assert await plugin.read(COPY, "id", inputs) == ""


async def test_a_release_deletes_the_staged_vhd_only_when_its_image_stands(world: World, plugin: Plugin) -> None:
    """Without the image the VHD is kept, for it is needed again; with it, it goes, and a second release is no error."""
    ((name, _),) = world.images.items()
    copy = inputs_of(world)
    outputs = dict((await plugin.create(COPY, copy)).properties)
    release = {
        "url": outputs["url"],
        "accountId": copy["destinationAccountId"],
        "imageId": copy["imageId"],
        "copyId": outputs["copyId"],
    }
    assert "does not stand" in (await failure_of(plugin.create(RELEASE, release))).details()
    assert len(world.staged(the_lab(world))) == 1
    world.seed_standing(the_lab(world), name, {"ImagePath": "Win2016\\Datacenter.json"})
    await plugin.create(RELEASE, release)
    assert world.staged(the_lab(world)) == []
    await plugin.create(RELEASE, release)


async def test_no_error_carries_a_key_or_a_sas(world: World, plugin: Plugin) -> None:
    """What the service refuses is told without the URL's query and without keys."""
    inputs = inputs_of(world)
    refusal = {"status": 403, "code": "AuthorizationFailure"}
    world.cloud.set_faults([{"service": "blob", "path": f"/{the_lab(world).account}/", "action": refusal}])
    told = (await failure_of(plugin.create(COPY, inputs))).details()
    assert "403" in told and "sig=" not in told
    assert all(account["key"] not in told for account in world.cloud.status()["storageAccounts"])


@given(st.floats(min_value=0, max_value=1e6))
def test_a_copy_is_noticed_within_a_tenth_of_its_time(elapsed: float) -> None:
    """The wait never exceeds 10 % of what the copy has taken so far, but for the bounds."""
    delay = poll_delay(elapsed)
    assert SHORTEST_WAIT <= delay <= LONGEST_WAIT
    assert delay <= max(SHORTEST_WAIT, 0.1 * elapsed)


@given(st.integers(0, 2**42), st.integers(0, 2**42), st.floats(0, 1e6))
def test_any_progress_can_be_told(done: int, total: int, elapsed: float) -> None:
    """One short row, whatever the numbers."""
    row = describe(Progress(min(done, total), total), elapsed)
    assert "\n" not in row and " %" in row and "iB" in row
