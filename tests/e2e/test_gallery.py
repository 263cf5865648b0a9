"""Images that labs get by the Compute Gallery of the stack, with the real engine and the embedded cloud."""

from __future__ import annotations

from tests.e2e.gallery_world import GalleryWorld

WINDOWS, LINUX = "Win11/Office.json", "Ubuntu/Jammy.json"


def test_a_gallery_delivers_generation_and_data_disks_and_the_second_run_does_nothing(
    gallery_world: GalleryWorld,
) -> None:
    """One version for all labs, replicated to their regions, from the factory's VHDs where they are; nothing is copied.
    Each lab offers what labs.json gives it."""
    world = gallery_world
    north = world.add_lab("north", "Win11", region="northeurope")
    west = world.add_lab("west", "Win11", "Ubuntu")
    windows = world.add_image(WINDOWS, 5, data_disks=1, hyperVGeneration="V2", securityType="TrustedLaunch")
    linux = world.add_image(LINUX, 6)
    before = world.factory_digest()
    run = world.serve()
    assert world.copies() == 0 and world.held(north) == world.held(west) == {}
    definitions, versions = world.definitions(), world.versions()
    assert set(versions) == {"Win11.Office-gen2-trusted/2026.605.101112", "Ubuntu.Jammy/2026.606.101112"}
    trusted = definitions["Win11.Office-gen2-trusted"]["properties"]
    assert (trusted["hyperVGeneration"], trusted["osType"], trusted["osState"]) == ("V2", "Windows", "Generalized")
    assert trusted["features"] == [{"name": "SecurityType", "value": "TrustedLaunchSupported"}]
    made = versions["Win11.Office-gen2-trusted/2026.605.101112"]
    storage, published = made["properties"]["storageProfile"], made["properties"]["publishingProfile"]
    assert [disk["lun"] for disk in storage["dataDiskImages"]] == [0]
    assert {each["name"] for each in published["targetRegions"]} == {"North Europe", "West Europe"}
    assert made["tags"]["SourceVhd"] == world.images[windows] and made["tags"]["ImagePath"] == WINDOWS
    assert world.made_from().keys() == {world.images[windows], world.images[linux]}
    assert world.offers(north) == {"images": ["Win11.Office-gen2-trusted"]}
    assert world.offers(west) == {"images": ["Ubuntu.Jammy", "Win11.Office-gen2-trusted"]}
    assert world.factory_digest() == before, run.output
    world.cloud.clear_calls()
    assert world.serve().only_unchanged and world.serve("--refresh").only_unchanged
    assert world.gallery_writes() == []
