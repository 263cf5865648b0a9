"""What `imagefactory doctor` checks of a stack's Compute Gallery, before anything is created in it."""

from __future__ import annotations

from typing import Any

import pytest

from imagefactory.roles.actions import Place
from imagefactory.roles.purposes import role_of
from tests.doctor.doctor_world import DoctorWorld, Examined

pytestmark = pytest.mark.engine

GALLERY = {"gallery", "permissions on the gallery", "permission to read operations of the gallery"}
CREATED = {*GALLERY, "permissions to create the gallery"}
PARTS = "parts of the gallery not in the state"
IN_LAB = {"permissions on galleries of the lab", "attached gallery"}


@pytest.fixture
def world(world: DoctorWorld) -> DoctorWorld:
    """A factory with one image, a lab that gets it by a gallery that does not exist yet, and one that does not."""
    world.settings |= {"delivery": "gallery", "gallery": {"name": "images", "resourceGroup": world.factory.group}}
    return world


def gallery_id(world: DoctorWorld) -> str:
    """The ARM id of the gallery."""
    group = f"/subscriptions/{world.subscription}/resourceGroups/{world.factory.group}"
    return f"{group}/providers/Microsoft.Compute/galleries/images"


def seed(world: DoctorWorld, **gallery: Any) -> None:
    """Let the gallery exist."""
    place = {"name": "images", "resourceGroup": world.factory.group, "region": "westeurope", **gallery}
    world.cloud.seed({"subscriptions": [{"subscriptionId": world.subscription, "galleries": [place]}]})


def names(found: Examined, subject: str) -> set[str]:
    """The names of the checks of a subject."""
    return {one["check"] for one in found.checks if one["subject"] == subject}


def test_a_gallery_that_the_stack_will_create_is_fine_and_nothing_is_written(world: DoctorWorld) -> None:
    """A lab that gets images by the gallery only needs no storage account."""
    found = world.doctor()
    assert found.not_ok() == [] and world.written() == []
    assert {*CREATED, PARTS} <= names(found, "stack")
    assert found.check("stack", "gallery")["fact"].startswith("pulumi up creates images of resource group")
    assert "permission to create versions from its VHDs" in names(found, "factory")
    assert names(found, world.web) == {"lab", "permissions on the lab", "images not in the state", *IN_LAB}
    assert found.check(world.web, "attached gallery")["fact"] == "none yet"


def test_after_a_run_the_gallery_is_found_and_attached(world: DoctorWorld) -> None:
    """And all of it is in the state; the same checks for an existing one that is named by its id."""
    assert world.up().code == 0
    found = world.doctor()
    assert found.not_ok() == []
    assert found.check("stack", "gallery")["fact"].startswith("images of resource group")
    assert found.check(world.web, "attached gallery")["fact"] == "images is attached"
    world.settings["gallery"] = {"id": gallery_id(world)}
    assert "permissions to create the gallery" not in names(world.doctor(), "stack")


def test_a_stack_without_a_gallery_has_none_of_these_checks(world: DoctorWorld) -> None:
    """Nor does a lab that gets custom images only, if the stack has one."""
    settings = dict(world.settings)
    world.settings["delivery"] = "customImage"
    found = world.doctor()
    assert names(found, "stack") > GALLERY and not IN_LAB & names(found, world.web)
    del world.settings["gallery"]
    found = world.doctor()
    assert not (CREATED | {PARTS}) & names(found, "stack") and not IN_LAB & names(found, world.web)
    world.settings |= {**settings, "delivery": "both"}
    found = world.doctor()
    assert {*IN_LAB, "storage account", "write blobs"} <= names(found, world.web)


def test_a_missing_resource_group_is_found(world: DoctorWorld) -> None:
    """With the command that creates it."""
    world.settings["gallery"] = {"name": "images", "resourceGroup": "nowhere"}
    found = world.doctor()
    assert ("stack", "gallery", "failure") in found.not_ok()
    check = found.check("stack", "gallery")
    assert "resource group 'nowhere'" in check["fact"] and "az group create --name nowhere" in check["remedy"]


def test_a_gallery_that_does_not_exist_or_cannot_be_read_is_found_once(world: DoctorWorld) -> None:
    """Not once more as a failure of the plan."""
    world.settings["gallery"] = {"id": gallery_id(world)}
    assert world.doctor().not_ok() == [("stack", "gallery", "failure")]
    seed(world)
    refusal = {"status": 403, "code": "AuthorizationFailed"}
    world.cloud.set_faults([{"service": "arm", "path": r"/galleries/images\?", "action": refusal}])
    found = world.doctor()
    assert found.not_ok() == [("stack", "gallery", "failure")]
    assert "AuthorizationFailed" in found.check("stack", "gallery")["fact"]


def test_versions_are_created_in_the_region_of_their_vhds_wherever_the_gallery_is(world: DoctorWorld) -> None:
    """A gallery elsewhere is a warning, because Microsoft recommends one region; the run succeeds."""
    seed(world, region="northeurope")
    world.settings["gallery"] = {"id": gallery_id(world)}
    found = world.doctor()
    assert found.not_ok() == [("stack", "gallery", "warning")]
    assert "its versions are in westeurope" in found.check("stack", "gallery")["fact"]
    run = world.up()
    assert run.code == 0, run.output
    versions = f"{gallery_id(world)}/images/Win2016.Datacenter/versions?api-version=2024-03-03"
    (version,) = world.request("GET", versions).json()["value"]
    regions = [each["name"] for each in version["properties"]["publishingProfile"]["targetRegions"]]
    assert (version["location"], regions) == ("westeurope", ["West Europe"])


IN_ROLES = {
    Place.GALLERY_GROUP: "permissions to create the gallery",
    Place.GALLERY: "permissions on the gallery",
    Place.GALLERY_SUBSCRIPTION: "permission to read operations of the gallery",
    Place.LAB_GALLERIES: "permissions on galleries of the lab",
    Place.FACTORY_KEYS: "permission to create versions from its VHDs",
}


@pytest.mark.parametrize("place", IN_ROLES)
def test_each_missing_permission_is_named(world: DoctorWorld, place: Place) -> None:
    """With the role that has it, at the scope where it counts."""
    subject = {Place.LAB_GALLERIES: world.web, Place.FACTORY_KEYS: "factory"}.get(place, "stack")
    lost = role_of(place).actions[-1]
    world.cloud.set_permissions({"actions": ["*"], "notActions": [lost], "dataActions": ["*"]})
    found = world.doctor()
    assert found.not_ok() == [(subject, IN_ROLES[place], "failure")]
    check = found.check(subject, IN_ROLES[place])
    assert lost in check["fact"] and f"{role_of(place).name} on" in check["remedy"]


def test_a_lab_with_another_gallery_is_found_once(world: DoctorWorld) -> None:
    """With the command that detaches it."""
    seed(world)
    seed(world, name="theirs")
    web = world.labs["web"]
    theirs = gallery_id(world).replace("/images", "/theirs")
    lab = {
        "name": web.name,
        "resourceGroup": web.group,
        "region": "westeurope",
        "storageAccount": web.account,
        "sharedGallery": {"name": "theirs", "galleryId": theirs},
    }
    world.cloud.seed({"subscriptions": [{"subscriptionId": web.subscription, "labs": [lab]}]})
    world.settings["gallery"] = {"id": gallery_id(world)}
    found = world.doctor()
    assert found.not_ok() == [(world.web, "attached gallery", "failure")]
    check = found.check(world.web, "attached gallery")
    assert "has gallery theirs attached" in check["fact"] and "az resource delete --ids" in check["remedy"]


def test_parts_that_exist_and_are_not_in_the_state_are_found(world: DoctorWorld) -> None:
    """A gallery of the settings' name, and a version of the image: what a lost state leaves."""
    assert world.up().code == 0
    world.lose_state()
    found = world.doctor()
    (check,) = (one for one in found.checks if one["check"] == PARTS)
    assert check["result"] == "failure" and "imagefactory adopt --stack test" in check["remedy"]
    assert "gallery images" in check["fact"] and "Win2016.Datacenter/2026.605." in check["fact"]
