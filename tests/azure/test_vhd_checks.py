"""Reading a few bytes of the factory's VHDs before a plan: which of them, how many at a time, and what if it fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.observe import gather_facts
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.azure.storage.vhd_checks import CONCURRENT_VHDS, check_vhds
from imagefactory.configuration.loading import load_configuration
from imagefactory.configuration.stack_settings import Settings, parse_settings
from imagefactory.images.catalog import Catalog
from imagefactory.images.ranges_manifest import manifest_name
from imagefactory.observed.blobs import BlobRef
from tests.azure.storage_world import Token
from tests.e2e.world import FACTORY_CONTAINER, World
from tests.federation import serving
from tests.unit.builders import catalog, image

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


def settings_of(world: World, **others: object) -> Settings:
    """The settings of a stack with that factory."""
    factory = {"subscriptionId": world.subscription, "labName": world.factory.name}
    return parse_settings({"cloud": "custom", "factory": factory, **others}, world.environment)


async def catalog_of(world: World, *, with_labs: bool = True, **others: object) -> Catalog:
    """The catalog as a run finds it."""
    world.write_configuration()
    configuration = load_configuration(world.folder / "Configuration", "labs.json") if with_labs else None
    return (await gather_facts(settings_of(world, **others), configuration)).catalog


def read_vhds(world: World) -> list[str]:
    """The VHDs that were read since the journal was cleared, each as often as it was."""
    return sorted(
        call["path"].partition("?")[0].rpartition("/")[2]
        for call in world.cloud.calls()
        if call["service"] == "blob" and call["method"] == "GET" and ".vhd" in call["path"]
    )


async def test_only_vhds_that_a_lab_lacks_and_nothing_vouches_for_are_read(world: World) -> None:
    """Two requests for each of them; none for one with a manifest, one that all labs have, one that no lab uses."""
    lab = world.add_lab("web", "Win2016")
    missing, known, standing, unused = world.add_images((WINDOWS, 5), (WINDOWS, 6), (WINDOWS, 7), (UBUNTU, 5))
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    digest = {"digest": f"sha256:{'0a' * 32}", "allocated": "512"}
    container.upload_blob(manifest_name(world.images[known]), b"", metadata=digest)
    world.seed_standing(lab, standing, {"ImagePath": WINDOWS, "SourceVhd": world.images[standing]})
    world.cloud.clear_calls()
    found = await catalog_of(world)
    assert read_vhds(world) == [world.images[missing]] * 2
    assert {one.name: one.partition_table for one in found.images} == {
        missing: "MBR", known: None, standing: None, unused: None}  # fmt: skip
    world.cloud.clear_calls()
    assert len((await catalog_of(world, with_labs=False, keep=2)).images) == 4
    assert read_vhds(world) == sorted([world.images[standing], world.images[unused]] * 2)


async def test_an_older_image_that_takes_the_place_of_a_broken_one_is_read_too(world: World) -> None:
    """With `keep: 1`, until one is valid: here the third."""
    world.add_lab("web", "Win2016")
    oldest, valid, second, newest = world.add_images(*((WINDOWS, day) for day in (5, 6, 7, 8)))
    for name in (second, newest):
        world.damage(name)
    world.cloud.clear_calls()
    found = await catalog_of(world, keep=1)
    assert [one.name for one in found.images] == [valid, oldest]
    assert {one.name for one in found.left_out} == {world.images[second], world.images[newest]}
    assert read_vhds(world) == sorted([world.images[name] for name in (valid, second, newest)] * 2)


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AuthorizationFailure"), (404, "BlobNotFound"), (409, "BlobArchived")]
)
async def test_a_vhd_that_cannot_be_read_is_a_warning_and_no_broken_vhd(world: World, status: int, code: str) -> None:
    """It stays in the catalog, as the others do; the copy tells what is wrong."""
    world.add_lab("web", "Win2016")
    bad, good = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    refusal = {"status": status, "code": code, "message": "no"}
    world.cloud.set_faults([{"service": "blob", "method": "GET", "path": world.images[bad], "action": refusal}])
    found = await catalog_of(world)
    assert [one.name for one in found.images] == [good, bad] and found.left_out == ()
    (told,) = [one.text() for one in found.warnings]
    assert told.startswith(f"warning: VHD {world.images[bad]}: ") and f"{status} {code}" in told
    assert "its footer and partition table are unknown until it is copied" in told


async def test_no_more_than_32_vhds_are_read_at_a_time() -> None:
    """Of a hundred; each is found invalid, as the server returns no VHD."""
    running = peak = 0
    gate = asyncio.Event()

    async def answer(_: web.BaseRequest) -> web.Response:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        if running == CONCURRENT_VHDS:
            gate.set()
        await gate.wait()
        running -= 1
        return web.Response(status=206, body=bytes(512))

    images: Any = [image(f"n{n}", age=n) for n in range(100)]
    async with (
        serving(answer) as url,
        ResourceManager(Cloud(None, url, f"{url}/{{account}}"), Token()) as arm,
        StorageAccounts(arm) as accounts,
    ):
        container = BlobRef("/accounts/factory", f"{url}/factory/{FACTORY_CONTAINER}")
        found = await check_vhds(PageBlobs(accounts), catalog(*images), container, lambda there: there.images)
    assert found.images == () and len(found.left_out) == 100
    assert peak == CONCURRENT_VHDS == 32
