"""Facts that are read from Azure before a plan: against the embedded cloud, with real credentials and clients."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest

from imagefactory.azure.core.clouds import cloud_of
from imagefactory.azure.core.credentials import credential
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.labs import lab_facts
from imagefactory.azure.observe import CloudFacts, gather_facts
from imagefactory.configuration.labs_file import LabKey
from imagefactory.configuration.stack_settings import parse_settings
from imagefactory.diagnostics import Diagnostic
from imagefactory.errors import ImageFactoryError
from imagefactory.images.companions import companion_metadata
from imagefactory.observed.standing_labs import LabFacts
from tests.e2e.world import FACTORY_CONTAINER, World


def settings_of(world: World) -> Any:
    factory = {"subscriptionId": world.subscription, "labName": "FACTORY"}
    return parse_settings({"cloud": "custom", "factory": factory}, world.environment)


async def facts_of(world: World) -> CloudFacts:
    return await gather_facts(settings_of(world), None)


async def labs_of(world: World, wanted: Iterable[LabKey]) -> dict[LabKey, LabFacts | Diagnostic]:
    cloud = cloud_of(settings_of(world))
    async with ResourceManager(cloud, credential(cloud)) as arm:
        return (await lab_facts(arm, LabKey(world.subscription, world.factory.name), wanted))[1]


def reads_of_companions(world: World) -> int:
    return sum(
        call["service"] == "blob" and call["method"] == "GET" and ".json" in call["path"]
        for call in world.cloud.calls()
    )


async def test_a_companion_is_read_only_if_the_vhds_metadata_do_not_contain_the_facts(world: World) -> None:
    """Three images cost three reads; if their facts are in metadata too, one listing returns all."""
    world.add_images(*(("Win2016/Datacenter.json", day) for day in (5, 6, 7)))
    world.cloud.clear_calls()
    first = (await facts_of(world)).catalog
    assert reads_of_companions(world) == 3
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    for image in first.images:
        container.get_blob_client(image.vhd_name).set_blob_metadata(companion_metadata(image))
    world.cloud.clear_calls()
    second = (await facts_of(world)).catalog
    assert reads_of_companions(world) == 0
    assert [image.name for image in second.images] == [image.name for image in first.images]


async def test_one_companion_that_cannot_be_downloaded_stops_no_other(world: World) -> None:
    """It is reported as broken; the others are in the catalog."""
    good, bad = world.add_images(("Win2016/Datacenter.json", 5), ("Win2016/Datacenter.json", 6))
    document = world.images[bad].replace(".vhd", ".json")
    refusal = {"status": 403, "code": "AuthorizationFailure"}
    world.cloud.set_faults([{"service": "blob", "method": "GET", "path": document, "action": refusal}])
    catalog = (await facts_of(world)).catalog
    assert [image.name for image in catalog.images] == [good]
    assert [broken.name for broken in catalog.broken] == [world.images[bad]]


async def test_labs_are_found_over_all_pages_with_one_listing_per_subscription(world: World) -> None:
    """The last of many labs is found, and no lab costs a request of its own."""
    entries = [
        {"name": f"many{n:03}", "resourceGroup": "labs", "region": "westeurope", "storageAccount": None}
        for n in range(120)
    ]
    world.cloud.seed({"subscriptions": [{"subscriptionId": world.subscription, "labs": entries}]})
    world.cloud.clear_calls()
    wanted = [LabKey(world.subscription, name) for name in ("many000", "many119")]
    found = await labs_of(world, wanted)
    assert all(isinstance(facts, LabFacts) for facts in found.values())
    listings = [call for call in world.cloud.calls() if re.search(r"microsoft\.devtestlab/labs\?", call["path"], re.I)]
    single = [call for call in world.cloud.calls() if re.search(r"/labs/many\d+\?", call["path"])]
    assert 1 < len(listings) < 10 and single == []


def seed_twins(world: World) -> None:
    """Two labs named `twin`, in the resource groups `Red` and `blue`, each with an image."""
    for group in ("Red", "blue"):
        place = {"name": "twin", "resourceGroup": group, "region": "westeurope", "storageAccount": None}
        entry = {**place, "images": [{"name": f"of-{group}", "osType": "Linux"}]}
        world.cloud.seed({"subscriptions": [{"subscriptionId": world.subscription, "labs": [entry]}]})


async def test_a_lab_of_two_resource_groups_needs_its_resource_group(world: World) -> None:
    """Without it, a diagnostic names both groups."""
    seed_twins(world)
    key = LabKey(world.subscription, "twin")
    diagnostic = (await labs_of(world, [key]))[key]
    assert (
        isinstance(diagnostic, Diagnostic) and "Red, blue" in diagnostic.fact and "ResourceGroup" in diagnostic.remedy
    )


async def test_two_labs_of_one_name_are_read_each_with_its_own_images(world: World) -> None:
    """With one listing of their subscription; if one cannot be read, its diagnostic names its resource group."""
    seed_twins(world)
    red, blue = keys = [LabKey.of(world.subscription, "Twin", group) for group in ("RED", "blue")]
    world.cloud.clear_calls()
    found = await labs_of(world, keys)
    held = {one.resource_group: [image.name for image in one.images] for one in found.values() if one}  # type: ignore[union-attr]
    assert held == {"Red": ["of-Red"], "blue": ["of-blue"]}
    listings = [call for call in world.cloud.calls() if re.search(r"microsoft\.devtestlab/labs\?", call["path"], re.I)]
    assert len(listings) == 1
    refusal = {"status": 403, "code": "AuthorizationFailed"}
    world.cloud.set_faults([{"service": "arm", "path": "resourcegroups/blue/.*customimages", "action": refusal}])
    found = await labs_of(world, keys)
    assert isinstance(found[red], LabFacts)
    assert isinstance(told := found[blue], Diagnostic) and told.subject == "lab 'twin' of resource group 'blue'"


async def test_a_target_of_the_factorys_name_in_another_group_is_not_the_factory(world: World) -> None:
    """Each of the two is found by its resource group; the factory lab's own images are not read."""
    entry = {"name": world.factory.name, "resourceGroup": "other", "region": "westeurope", "storageAccount": None}
    world.cloud.set_faults(
        [{"service": "arm", "path": "resourcegroups/factory/.*customimages", "action": {"status": 403, "code": "No"}}]
    )
    world.cloud.seed({"subscriptions": [{"subscriptionId": world.subscription, "labs": [entry]}]})
    own, key = (LabKey(world.subscription, world.factory.name, group) for group in ("factory", "other"))
    cloud = cloud_of(settings_of(world))
    async with ResourceManager(cloud, credential(cloud)) as arm:
        factory, labs = await lab_facts(arm, own, [key])
    target = labs[key]
    assert isinstance(factory, LabFacts) and factory.resource_group == "factory"
    assert isinstance(target, LabFacts) and target.resource_group == "other"


async def test_a_factory_that_cannot_be_read_is_one_clear_error(world: World) -> None:
    """It names the lab and the consequence."""
    world.cloud.set_faults(
        [{"service": "arm", "path": "microsoft.devtestlab/labs", "action": {"status": 403, "code": "Forbidden"}}]
    )
    with pytest.raises(
        ImageFactoryError, match=r"^factory: .*403 Forbidden.*; nothing is planned and nothing is deleted\."
    ):
        await facts_of(world)


async def test_a_request_that_the_resource_manager_throttles_is_sent_again(world: World) -> None:
    """After the wait that Retry-After of the 429 says."""
    world.add_images(("Win2016/Datacenter.json", 5))
    throttled = {"status": 429, "code": "TooManyRequests", "retryAfter": 0}
    world.cloud.set_faults([{"service": "arm", "path": "devtestlab", "times": 2, "action": throttled}])
    assert len((await facts_of(world)).catalog.images) == 1
