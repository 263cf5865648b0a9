"""`imagefactory adopt` with a Compute Gallery: what stands is taken over, and nothing that stands ever gets a write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.e2e.gallery_world import GalleryWorld
from tests.e2e.world import FACTORY_CONTAINER, Lab, Run

pytestmark = pytest.mark.engine

WINDOWS, LINUX = "Win11/Office.json", "Ubuntu/Jammy.json"
TRUSTED: Mapping[str, Any] = {"data_disks": 1, "hyperVGeneration": "V2", "securityType": "TrustedLaunch"}
ANSWERS: dict[str, dict[str, Any]] = {
    "recorded": {},
    "sparse": {"gallery_answers": "sparse"},
    "policy": {"policy_tags": {"costCenter": "7", "Owner": "it"}},
}
GALLERY_TYPES = {"Gallery", "GalleryImage", "GalleryImageVersion"}


def seed(
    world: GalleryWorld, *definitions: dict[str, Any], lab: Lab | None = None, images: tuple[str, ...] = ()
) -> None:
    """A gallery that somebody else made, and its attachment to a lab, in which `images` are enabled."""
    gallery = {
        "name": "Images",
        "resourceGroup": world.factory.group,
        "region": "westeurope",
        "description": "ours",
        "definitions": list(definitions),
    }
    world.cloud.seed({"subscriptions": [{"subscriptionId": world.subscription, "galleries": [gallery]}]})
    if lab:
        attached = {"name": "by-hand", "galleryId": world.gallery_id, "images": list(images)}
        place = {"name": lab.name, "resourceGroup": lab.group, "region": "westeurope", "storageAccount": lab.account}
        entry = {**place, "sharedGallery": attached}
        world.cloud.seed({"subscriptions": [{"subscriptionId": lab.subscription, "labs": [entry]}]})


def version(world: GalleryWorld, image: str, name: str, **more: Any) -> dict[str, Any]:
    """A version of a factory image, as a seed document describes it."""
    path, _ = world.origins[image]
    account = f"/subscriptions/{world.subscription}/resourceGroups/{world.factory.group}/providers/Microsoft.Storage"
    endpoint = world.service(world.factory).primary_endpoint
    return {
        "name": name,
        "vhdUrl": f"{endpoint}{FACTORY_CONTAINER}/{world.images[image]}",
        "storageAccountId": f"{account}/storageAccounts/{world.factory.account}",
        "tags": {"ImagePath": path, "SourceVhd": world.images[image], "owner": "me", **more.pop("tags", {})},
        **more,
    }


def definition(name: str, path: str, *versions: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A definition, as a seed document describes it."""
    system = "Linux" if "Ubuntu" in path else "Windows"
    tags = {"ImagePath": path, "owner": "me", **more.pop("tags", {})}
    return {"name": name, "osType": system, "versions": list(versions), "tags": tags, **more}


def standing(world: GalleryWorld) -> dict[str, Any]:
    """What stands in the gallery, as Azure answers it."""
    return {**world.definitions(), **world.versions()}


def check_nothing_to_do(world: GalleryWorld) -> None:
    """Neither for runs nor for the next adoption."""
    for again in ((), ("--refresh",)):
        run = world.up(*again)
        assert run.only_unchanged, run.output
    assert "Nothing to take over" in world.adopt().output


def parts(run: Run) -> dict[str, tuple[str, str]]:
    """Action and reason by part of the gallery."""
    return {one["name"]: (one["action"], one["reason"]) for one in json.loads(run.output)["gallery"]["parts"]}


def recorded(world: GalleryWorld) -> dict[str, dict[str, Any]]:
    """The gallery's resources in the state, by URN."""
    resources = world.state()["resources"]
    return {each["urn"]: each for each in resources if each["type"].rpartition(":")[2] in GALLERY_TYPES}


@pytest.mark.parametrize("answers", list(ANSWERS))
def test_a_gallery_that_was_made_by_hand_is_taken_over_without_a_write(
    gallery_world: GalleryWorld, answers: str
) -> None:
    """On an empty state, however Azure answers: with another identifier and name of the definition, another name of the
    version, further tags, and an attachment of another name. A new image is then a version beside it."""
    world = gallery_world
    place = {"name": "Images", "resourceGroup": world.factory.group}
    world.settings["gallery"] = {**place, "storageType": "Premium_LRS"}  # that of a standing region cannot change
    web = world.add_lab("web", "Win11")
    image = world.add_image(WINDOWS, 5, **TRUSTED)
    made = version(world, image, "1.0.0", targetRegions=["westeurope"], properties={"restore": False})
    trusted = {"hyperVGeneration": "V2", "securityType": "TrustedLaunchSupported", "publisher": "Contoso"}
    seed(world, definition("Eleven", WINDOWS, made, **trusted), lab=web, images=("Eleven",))
    world.cloud.set_answers(**ANSWERS[answers])
    before = standing(world)
    world.cloud.clear_calls()
    adopted = world.adopt()
    assert adopted.code == 0 and "3 parts of the gallery to take over" in adopted.output, adopted.output
    assert all(shown in adopted.output for shown in ("the gallery itself", "/1.0.0", "Took over 3 parts of the"))
    assert {call["method"] for call in world.cloud.calls()} <= {"GET", "HEAD"}
    run = world.serve()
    assert (run.changes["created"], run.changes["updated"], run.changes["replaced"]) == (3, 0, 0), run.output
    assert world.preview().only_unchanged
    check_nothing_to_do(world)
    assert world.gallery_writes() == [] and standing(world) == before
    world.add_image(WINDOWS, 6, **TRUSTED)
    world.serve()
    assert {key.rpartition("/")[2] for key in world.versions()} == {"1.0.0", "2026.606.101112"}
    assert [call for call in world.gallery_writes() if "1.0.0" in call[1]] == []


@pytest.mark.parametrize("answers", list(ANSWERS))
def test_a_lost_state_is_won_back_with_what_the_engine_had_and_without_a_write(
    gallery_world: GalleryWorld, answers: str
) -> None:
    """Also versions that the plan lacks since then: they are retired as they would have been."""
    world = gallery_world
    world.cloud.set_answers(**ANSWERS[answers])
    world.settings["gallery"] |= {"endOfLifeDays": 3000}  # type: ignore[operator]
    north = world.add_lab("north", "Win11", region="northeurope")
    west = world.add_lab("west", "Win11", "Ubuntu")
    old, _, _ = (
        world.add_image(WINDOWS, 4, **TRUSTED),
        world.add_image(WINDOWS, 5, **TRUSTED),
        world.add_image(LINUX, 6),
    )
    world.serve()
    told = recorded(world)
    world.lose_state()
    world.retire(old)
    before = standing(world)
    world.cloud.clear_calls()
    shown = parts(world.adopt("--dry-run", "--json"))
    fate = "its VHD is not in the factory; the next pulumi up deletes it"
    assert [reason for action, reason in shown.values() if action == "take over"].count(fate) == 1, shown
    adopted = world.adopt()
    assert adopted.code == 0 and "6 parts of the gallery" in adopted.output, adopted.output
    found = recorded(world)
    assert {urn.lower() for urn in found} == {urn.lower() for urn in told}
    if answers != "sparse":  # ids in lower case name a definition otherwise
        for urn, each in found.items():
            assert each["outputs"] == told[urn]["outputs"] and each["parent"] == told[urn]["parent"]
            assert each["id"] == told[urn]["id"] and each.get("dependencies") == told[urn].get("dependencies")
            assert each["inputs"].keys() == told[urn]["inputs"].keys()
            same = ("galleryName", "galleryImageName", "publishingProfile", "safetyProfile", "identifier")
            assert [each["inputs"].get(key) for key in same] == [told[urn]["inputs"].get(key) for key in same]
    assert world.gallery_writes() == [] and standing(world) == before
    run = world.serve()
    assert [call[0] for call in world.gallery_writes()] == ["DELETE"], run.output
    world.cloud.clear_calls()
    check_nothing_to_do(world)
    assert world.gallery_writes() == []
    assert set(world.made_from()) == set(world.images.values())
    assert len(world.offers(west)["images"]) == 2 and len(world.offers(north)["images"]) == 1


def test_a_region_that_a_lab_needs_since_then_is_added_by_an_update_after_the_adoption(
    gallery_world: GalleryWorld,
) -> None:
    """And what no lab needs is dropped: the state has the regions that stand, not those that are wanted."""
    world = gallery_world
    world.add_lab("west", "Ubuntu")
    world.add_lab("north", "Ubuntu", region="northeurope")
    world.add_image(LINUX, 5)
    world.serve()
    world.lose_state()
    del world.wishes["north"]
    world.add_lab("east", "Ubuntu", region="eastus")
    assert world.adopt().code == 0
    world.cloud.clear_calls()
    world.serve()
    (made,) = world.versions().values()
    regions = {each["name"] for each in made["properties"]["publishingProfile"]["targetRegions"]}
    assert regions == {"West Europe", "East US"} and made["properties"]["provisioningState"] == "Succeeded"
    (update,) = [call for call in world.gallery_writes() if "/versions/" in call[1]]
    assert update[0] == "PUT" and update[2] == 200
    check_nothing_to_do(world)


def test_what_is_foreign_or_not_wanted_is_shown_and_stays(gallery_world: GalleryWorld) -> None:
    """Definitions of users and of another stack, and the factory's own without the tag, which --retire takes over."""
    world = gallery_world
    world.add_lab("web", "Ubuntu")
    image = world.add_image(LINUX, 6)
    other = world.add_image(WINDOWS, 5)
    theirs = {"Stack": "imagefactory/other"}
    seed(
        world,
        definition("Ubuntu.Jammy", LINUX, version(world, image, "2026.606.101112")),
        definition("Win.Ours", WINDOWS, version(world, other, "1.0.0"), offer="a"),
        definition("Win.Theirs", WINDOWS, version(world, other, "2.0.0", tags=theirs), offer="b", tags=theirs),
        {"name": "Mine", "osType": "Linux", "sku": "mine", "versions": [version(world, image, "3.0.0") | {"tags": {}}]},
    )
    before = standing(world)
    world.cloud.clear_calls()
    assert json.loads(world.adopt("--dry-run", "--json", "--lab", "web").output)["gallery"] is None
    found = parts(world.adopt("--yes", "--json"))
    reason = "it belongs to stack imagefactory/other; `imagefactory adopt --from other` takes it over"
    assert {name: action for name, (action, _) in found.items()} == {
        "Images": "take over",
        "Ubuntu.Jammy": "take over",
        "Ubuntu.Jammy/2026.606.101112": "take over",
        "Win.Ours": "not wanted",
        "Win.Ours/1.0.0": "not wanted",
        "Win.Theirs": "foreign",
        "Win.Theirs/2.0.0": "foreign",
        "Mine": "foreign",
    }
    assert found["Win.Theirs"][1] == found["Win.Theirs/2.0.0"][1] == reason
    assert found["Win.Ours/1.0.0"][1] == "no lab gets its image by the gallery; it stays as it is"
    world.serve()
    assert standing(world) == before
    assert [call for call in world.gallery_writes() if "/galleries/images/" in call[1].lower()] == []
    assert world.adopt("--yes", "--retire").code == 0
    world.serve()
    world.serve()
    assert standing(world) == {key: each for key, each in before.items() if not key.startswith("Win.Ours")}


def test_a_version_that_failed_and_is_in_no_state_is_put_again(gallery_world: GalleryWorld) -> None:
    """The only version that is written to; its definition is not."""
    world = gallery_world
    world.add_lab("web", "Ubuntu")
    image = world.add_image(LINUX, 6)
    failed = {"provisioningState": "Failed", "failedRegions": ["westeurope"], "targetRegions": ["westeurope"]}
    seed(world, definition("Ubuntu.Jammy", LINUX, version(world, image, "2026.606.101112", **failed)))
    world.cloud.clear_calls()
    assert "in state Failed: pulumi up creates it again" in world.adopt().output
    run = world.serve()
    assert run.changes["replaced"] == 0 and set(world.made_from()) == {world.images[image]}, run.output
    writes = [call for call in world.gallery_writes() if "/sharedgalleries/" not in call[1]]
    assert [(method, path.rpartition("/")[2]) for method, path, _ in writes] == [("PUT", "2026.606.101112")]
    check_nothing_to_do(world)


def test_an_existing_gallery_that_the_settings_name_by_its_id_is_never_managed(gallery_world: GalleryWorld) -> None:
    """Its definitions and versions are taken over; it stays when the stack is destroyed."""
    world = gallery_world
    world.settings["gallery"] = {"id": world.gallery_id}
    web = world.add_lab("web", "Ubuntu")
    image = world.add_image(LINUX, 6)
    seed(
        world,
        definition("Ubuntu.Jammy", LINUX, version(world, image, "2026.606.101112")),
        lab=web,
        images=("Ubuntu.Jammy",),
    )
    world.cloud.clear_calls()
    assert set(parts(world.adopt("--yes", "--json"))) == {"Ubuntu.Jammy", "Ubuntu.Jammy/2026.606.101112"}
    world.serve()
    check_nothing_to_do(world)
    assert world.gallery_writes() == []
    assert not any(each["type"].endswith(":Gallery") for each in recorded(world).values())
    assert world.destroy().code == 0 and world.definitions() == {} and world.offers(web) == {}
    assert [call for call in world.gallery_writes() if call[1].lower() == world.gallery_id.lower()] == []


def test_another_stacks_gallery_is_taken_over_on_demand_and_that_stack_detaches_nothing(
    gallery_world: GalleryWorld,
) -> None:
    """`--from`: its state loses the gallery, definitions, versions, and what the lab offers of them."""
    world = gallery_world
    world.deliveries["own"] = "customImage"
    shared, own = world.add_lab("shared", "Ubuntu"), world.add_lab("own", "Ubuntu")
    world.add_image(LINUX, 6)
    world.serve()
    settings, first = dict(world.settings), world.stack
    world.stack, world.wishes = "second", {"shared": ["Ubuntu"]}
    before = standing(world)
    world.cloud.clear_calls()
    actions = {action for action, _ in parts(world.adopt("--dry-run", "--json")).values()}
    assert actions == {"foreign"}
    run = world.adopt("--yes", "--from", first)
    assert run.code == 0 and "Took over 3 parts of the gallery" in run.output, run.output
    world.serve()
    check_nothing_to_do(world)
    world.stack, world.wishes, world.settings = first, {"own": ["Ubuntu"]}, {}
    world.serve()
    assert world.up().only_unchanged
    world.stack, world.wishes, world.settings = "second", {"shared": ["Ubuntu"]}, settings
    check_nothing_to_do(world)
    assert world.gallery_writes() == [] and standing(world) == before
    assert world.offers(shared) == {"images": ["Ubuntu.Jammy"]} and len(world.held(own)) == 1
