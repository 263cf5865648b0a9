"""What a refresh finds of copies, and what it requests: listings that all resources of a lab or an account share."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from tests.e2e.world import STAGING_CONTAINER, World
from tests.vhdcopy.copying import inputs_of
from tests.vhdcopy.plugin import COPY, Plugin, endpoints

TAGS = {"ImagePath": "Win2016\\Datacenter.json"}
IMAGES = 6
SIGN_IN = "/msi/"


def each_of(world: World, lab: str) -> list[dict[str, Any]]:
    """The inputs of copies for other images of a lab; each has a VHD of its own."""
    inputs = inputs_of(world, lab)
    ((name, vhd),) = world.images.items()
    return [
        {
            **inputs,
            "imageId": inputs["imageId"].replace(name.lower(), f"image-{number}"),
            "destinationUrl": inputs["destinationUrl"].replace(vhd, f"{number}.vhd"),
        }
        for number in range(IMAGES)
    ]


def requests(world: World) -> Counter[str]:
    """What labs and storage accounts were asked since the last call, without queries."""
    calls = [call for call in world.cloud.calls() if not call["path"].startswith(SIGN_IN)]
    world.cloud.clear_calls()
    return Counter(f"{call['method']} {call['path'].partition('?')[0]}".lower() for call in calls)


async def test_the_reads_of_a_refresh_list_each_lab_and_each_account_once(world: World, plugin: Plugin) -> None:
    """However many images a lab has, and only one whose image is missing asks for what is staged."""
    data = world.add_lab("data")
    web = world.labs["web"]
    copies = {lab: each_of(world, lab) for lab in world.labs}
    for number in range(IMAGES - 2):
        world.seed_standing(data, f"image-{number}", TAGS)
    for number in range(IMAGES):
        world.seed_standing(web, f"image-{number}", TAGS)
    requests(world)
    reads = [(each["destinationUrl"], each) for lab in copies.values() for each in lab]
    found = await asyncio.gather(*(plugin.read(COPY, id, inputs) for id, inputs in reads))
    assert found == [*(id for id, _ in reads[:-2]), "", ""]
    listed = Counter(f"GET {lab.id}/customimages".lower() for lab in (web, data))
    assert requests(world) == listed + Counter([f"get /{data.account}/{STAGING_CONTAINER}"])
    assert [await plugin.read(COPY, id, inputs) for id, inputs in reads] == found
    assert not requests(world)


async def test_a_change_by_the_provider_itself_is_seen_by_the_next_read(world: World, plugin: Plugin) -> None:
    """Also while it lists: no listing that started before a change ended answers a question after it."""
    inputs = inputs_of(world)
    url = inputs["destinationUrl"]
    for _ in range(2):
        assert await plugin.read(COPY, url, inputs) == ""
        creating = asyncio.ensure_future(plugin.create(COPY, inputs))
        await plugin.read(COPY, url, inputs)
        await creating
        assert await plugin.read(COPY, url, inputs) == url
        await plugin.delete(COPY, url, inputs)


async def test_refresh_drops_a_copy_only_if_both_its_image_and_its_vhd_are_missing(
    world: World, plugin: Plugin, shell: dict[str, str]
) -> None:
    """A released VHD is no drift while the image exists; what cannot be read is kept. The next operation of the engine
    configures the provider, and reads anew."""
    ((name, _),) = world.images.items()
    inputs = inputs_of(world)
    answer = await plugin.create(COPY, inputs)
    assert await plugin.read(COPY, answer.id, inputs) == answer.id
    await plugin.delete(COPY, answer.id, inputs)
    await plugin.delete(COPY, answer.id, inputs)
    assert world.staged(world.labs["web"]) == []
    assert await plugin.read(COPY, answer.id, inputs) == ""
    refusal = {"status": 403, "code": "AuthorizationFailed"}
    world.cloud.set_faults([{"service": "arm", "path": "customimages", "action": refusal}])
    await plugin.configure(endpoints(shell))
    assert await plugin.read(COPY, answer.id, inputs) == answer.id
    assert any("its state is kept" in message for message in plugin.log.messages)
    world.cloud.clear_faults()
    world.seed_standing(world.labs["web"], name, TAGS)
    await plugin.configure(endpoints(shell))
    assert await plugin.read(COPY, answer.id, inputs) == answer.id


async def test_a_deleted_lab_can_be_removed_from_the_state(world: World, plugin: Plugin) -> None:
    """Without its storage account there is nothing to delete, and a refresh drops the copy."""
    inputs = inputs_of(world)
    account = "/subscriptions/0/resourcegroups/r/providers/microsoft.storage/storageaccounts/gone"
    inputs["destinationAccountId"] = account
    await plugin.delete(COPY, "id", inputs)
    assert await plugin.read(COPY, "id", inputs) == ""
