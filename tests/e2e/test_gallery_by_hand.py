"""What somebody changes by hand is healed by a refresh; what the stack made goes with it, and nothing else does."""

from __future__ import annotations

import pytest

from tests.e2e.gallery_world import COMPUTE, DEVTESTLAB, GalleryWorld

pytestmark = pytest.mark.engine

WINDOWS, LINUX = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


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


def test_a_refresh_makes_again_what_somebody_took_away_and_destroy_leaves_the_vhds(gallery_world: GalleryWorld) -> None:
    """A definition disabled in a lab, one enabled beside it, a detached gallery, a deleted version, the gallery with
    all that is in it. At the end the stack takes away all that it made, and the factory's VHDs stay."""
    world = gallery_world
    near, west = world.add_lab("near", "Win2016"), world.add_lab("west", "Win2016", "Ubuntu")
    names = [world.add_image(WINDOWS, 5), world.add_image(LINUX, 5)]
    before = world.factory_digest()
    world.serve()
    offers = [world.offers(near), world.offers(west)]
    assert offers == [{"images": ["Win2016.Datacenter"]}, {"images": ["Ubuntu.Jammy", "Win2016.Datacenter"]}]
    shared = f"{near.id}/sharedgalleries/images/sharedimages"
    for name, os_type, state in (("Win2016.Datacenter", "Windows", "Disabled"), ("Ubuntu.Jammy", "Linux", "Enabled")):
        properties = {"definitionName": name, "osType": os_type, "imageType": "Generalized", "enableState": state}
        call(world, "PUT", f"{shared}/{name}", DEVTESTLAB, {"properties": properties})
    call(world, "DELETE", f"{west.id}/sharedgalleries/images", DEVTESTLAB)
    lost = next(key for key in world.versions() if key.startswith("Ubuntu"))
    call(world, "DELETE", f"{world.gallery_id}/images/{lost.replace('/', '/versions/')}", COMPUTE)
    run = world.serve("--refresh")
    assert [world.offers(near), world.offers(west)] == offers, run.output
    assert world.made_from().keys() == {world.images[name] for name in names}
    assert world.up().only_unchanged

    delete_gallery(world)
    run = world.serve("--refresh")
    assert world.made_from().keys() == {world.images[name] for name in names}, run.output
    assert [world.offers(near), world.offers(west)] == offers, run.output
    assert world.up().only_unchanged

    assert world.destroy().code == 0
    assert not (world.versions() or world.definitions() or world.offers(near) or world.offers(west))
    assert world.request("GET", f"{world.gallery_id}?api-version={COMPUTE}").status_code == 404
    assert world.factory_digest() == before


def test_a_gallery_that_is_named_by_its_id_is_neither_made_nor_deleted(gallery_world: GalleryWorld) -> None:
    """The stack makes definitions and versions in it, and takes away only these; what others have there stays."""
    world = gallery_world
    near = world.add_lab("near", "Win2016")
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
    assert world.offers(near) == {"images": ["Win2016.Datacenter"]}, run.output
    assert world.up().only_unchanged
    assert world.destroy().code == 0
    written = {path for _, path, _ in world.gallery_writes()}
    assert world.gallery_id not in written and not any(path.endswith("/images/theirs") for path in written)
    assert set(world.definitions()) == {"theirs"} and world.offers(near) == {}
    found = world.request("GET", f"{world.gallery_id}?api-version={COMPUTE}").json()
    assert found["tags"] == {"owner": "somebody"}
