"""Images that labs get by the Compute Gallery of the stack, with the real engine and the embedded cloud.

What somebody changes by hand is healed by a refresh; what the stack made goes with it, and nothing else does.
"""

from __future__ import annotations

import pytest

from tests.e2e.gallery_world import COMPUTE, DEVTESTLAB, GalleryWorld

pytestmark = pytest.mark.engine

WINDOWS, LINUX = "Win11/Office.json", "Ubuntu/Jammy.json"
TRUSTED = "Win11.Office-gen2-trusted"
"""The definition of the Windows images that are of generation 2 with Trusted Launch."""


def call(world: GalleryWorld, method: str, id: str, version: str, body: object = None) -> None:
    """A call by somebody else that succeeds; what it starts is done at once."""
    world.request(method, f"{id}?api-version={version}", body).raise_for_status()


def delete_gallery(world: GalleryWorld) -> None:
    """Somebody deletes the gallery with all that is in it."""
    for key in world.versions():
        definition, _, version = key.partition("/")
        call(world, "DELETE", f"{world.gallery_id}/images/{definition}/versions/{version}", COMPUTE)
    for definition in world.definitions():
        call(world, "DELETE", f"{world.gallery_id}/images/{definition}", COMPUTE)
    call(world, "DELETE", world.gallery_id, COMPUTE)


def test_a_gallery_delivers_and_a_refresh_makes_again_what_somebody_took_away(gallery_world: GalleryWorld) -> None:
    """One version for all labs, replicated to their regions, from the factory's VHDs where they are, with generation
    and data disks; nothing is copied. Each lab offers what labs.json gives it. The second run does nothing.

    Then a definition is disabled in a lab, one enabled beside it, a gallery detached, a version deleted, the gallery
    deleted with all that is in it. At the end the stack takes away all that it made, and the factory's VHDs stay."""
    world = gallery_world
    north = world.add_lab("north", "Win11", region="northeurope")
    west = world.add_lab("west", "Win11", "Ubuntu")
    windows = world.add_image(WINDOWS, 5, data_disks=1, hyperVGeneration="V2", securityType="TrustedLaunch")
    linux = world.add_image(LINUX, 6)
    vhds = {world.images[windows], world.images[linux]}
    before = world.factory_digest()
    run = world.serve()
    assert world.copies() == 0 and world.held(north) == world.held(west) == {}
    definitions, versions = world.definitions(), world.versions()
    assert set(versions) == {f"{TRUSTED}/2026.605.101112", "Ubuntu.Jammy/2026.606.101112"}
    trusted = definitions[TRUSTED]["properties"]
    assert (trusted["hyperVGeneration"], trusted["osType"], trusted["osState"]) == ("V2", "Windows", "Generalized")
    assert trusted["features"] == [{"name": "SecurityType", "value": "TrustedLaunchSupported"}]
    made = versions[f"{TRUSTED}/2026.605.101112"]
    storage, published = made["properties"]["storageProfile"], made["properties"]["publishingProfile"]
    assert [disk["lun"] for disk in storage["dataDiskImages"]] == [0]
    assert {each["name"] for each in published["targetRegions"]} == {"North Europe", "West Europe"}
    assert made["tags"]["SourceVhd"] == world.images[windows] and made["tags"]["ImagePath"] == WINDOWS
    assert world.made_from().keys() == vhds
    offers = [world.offers(north), world.offers(west)]
    assert offers == [{"images": [TRUSTED]}, {"images": ["Ubuntu.Jammy", TRUSTED]}]
    assert world.factory_digest() == before, run.output
    world.cloud.clear_calls()
    assert world.serve().only_unchanged and world.gallery_writes() == []

    shared = f"{north.id}/sharedgalleries/images/sharedimages"
    for name, os_type, state in ((TRUSTED, "Windows", "Disabled"), ("Ubuntu.Jammy", "Linux", "Enabled")):
        properties = {"definitionName": name, "osType": os_type, "imageType": "Generalized", "enableState": state}
        call(world, "PUT", f"{shared}/{name}", DEVTESTLAB, {"properties": properties})
    call(world, "DELETE", f"{west.id}/sharedgalleries/images", DEVTESTLAB)
    lost = next(key for key in world.versions() if key.startswith("Ubuntu"))
    call(world, "DELETE", f"{world.gallery_id}/images/{lost.replace('/', '/versions/')}", COMPUTE)
    run = world.serve("--refresh")
    assert [world.offers(north), world.offers(west)] == offers, run.output
    assert world.made_from().keys() == vhds
    world.cloud.clear_calls()
    assert world.up("--refresh").only_unchanged and world.gallery_writes() == []

    delete_gallery(world)
    run = world.serve("--refresh")
    assert world.made_from().keys() == vhds, run.output
    assert [world.offers(north), world.offers(west)] == offers, run.output
    assert world.up().only_unchanged

    assert world.destroy().code == 0
    assert not (world.versions() or world.definitions() or world.offers(north) or world.offers(west))
    assert world.request("GET", f"{world.gallery_id}?api-version={COMPUTE}").status_code == 404
    assert world.factory_digest() == before


def test_a_gallery_that_is_named_by_its_id_is_neither_made_nor_deleted(gallery_world: GalleryWorld) -> None:
    """The stack makes definitions and versions in it, and takes away only these; what others have there stays."""
    world = gallery_world
    near = world.add_lab("near", "Win11")
    world.add_image(WINDOWS, 5)
    world.settings["gallery"] = {"id": world.gallery_id}
    run = world.up()
    assert run.code != 0 and "does not exist" in run.output and world.offers(near) == {}, run.output
    call(world, "PUT", world.gallery_id, COMPUTE, {"location": "westeurope", "tags": {"owner": "somebody"}})
    theirs = {
        "location": "westeurope",
        "properties": {
            "osType": "Linux",
            "osState": "Generalized",
            "identifier": {"publisher": "somebody", "offer": "theirs", "sku": "one"},
        },
    }
    call(world, "PUT", f"{world.gallery_id}/images/theirs", COMPUTE, theirs)
    world.cloud.clear_calls()
    run = world.serve()
    assert world.offers(near) == {"images": ["Win11.Office"]}, run.output
    assert world.up().only_unchanged
    assert world.destroy().code == 0
    written = {path for _, path, _ in world.gallery_writes()}
    assert world.gallery_id not in written and not any(path.endswith("/images/theirs") for path in written)
    assert set(world.definitions()) == {"theirs"} and world.offers(near) == {}
    found = world.request("GET", f"{world.gallery_id}?api-version={COMPUTE}").json()
    assert found["tags"] == {"owner": "somebody"}
