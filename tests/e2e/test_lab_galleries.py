"""`LabGallery` under the real engine, declared by a small program: what runs create, heal, replace and import."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.world import World
from tests.vhdcopy.gallery_labs import DEFINITIONS, GALLERY, GalleryLabs, inputs_for

pytestmark = pytest.mark.engine

PROGRAM = """
import json, os, pathlib
import pulumi
from components.lab_gallery import LabGallery
from components.staged_vhd import VhdCopyProvider
from imagefactory.configuration.stack_settings import parse_settings
from imagefactory.observed.lab_galleries import Definition

async def existing(wanted):
    return [Definition(each["name"], each["osType"], each["imageType"]) for each in wanted]

copier = VhdCopyProvider("vhdcopy", parse_settings(pulumi.runtime.config.CONFIG.get(), os.environ))
for name, wanted in json.loads(pathlib.Path("galleries.json").read_text()).items():
    pulumi.export(name, LabGallery(
        name,
        lab_id=wanted["labId"],
        location=wanted["location"],
        gallery_id=wanted["galleryId"],
        definitions=existing(wanted["definitions"]),
        opts=pulumi.ResourceOptions(provider=copier, import_=wanted.get("import")),
    ).attachmentId)
"""


@pytest.fixture
def labs(world: World) -> GalleryLabs:
    """Labs and galleries of a world whose program declares one LabGallery for each entry of galleries.json."""
    program = world.folder / "__main__.py"
    program.unlink()
    program.write_text(PROGRAM, encoding="utf-8")
    return GalleryLabs(world.cloud, world.subscription)


def want(world: World, **wanted: dict[str, Any]) -> None:
    """What the program declares at the next run."""
    (world.folder / "galleries.json").write_text(json.dumps(wanted), encoding="utf-8")


def test_a_run_attaches_heals_updates_and_destroys(world: World, labs: GalleryLabs) -> None:
    """A second run requests nothing; `up --refresh` heals what was changed by hand, and only that."""
    gallery, lab = labs.add_gallery(), labs.add_lab()
    want(world, web=inputs_for(lab, gallery))
    world.cloud.clear_calls()
    assert world.preview().code == 0 and labs.requests() == []
    world.serve()
    assert labs.enabled(lab) == set(DEFINITIONS)
    world.cloud.clear_calls()
    assert world.up().only_unchanged and labs.requests() == []

    labs.set(lab, "Ubuntu.Server", "Disabled")
    labs.set(lab, "Win2019", "Enabled")
    world.cloud.clear_calls()
    assert world.serve("--refresh").changes["updated"] == 1
    assert sorted(labs.writes()) == [("PUT", "Ubuntu.Server"), ("PUT", "Win2019")]
    assert labs.enabled(lab) == set(DEFINITIONS)
    labs.allow_all(lab, gallery)
    world.serve("--refresh")
    assert labs.attached(lab) == {GALLERY: (gallery, "Disabled")}
    labs.detach(lab)
    assert world.serve("--refresh").changes["created"] == 1
    assert labs.enabled(lab) == set(DEFINITIONS)
    assert world.serve("--refresh").only_unchanged

    want(world, web=inputs_for(lab, gallery, "Win2019"))
    assert world.serve().changes["updated"] == 1
    assert labs.enabled(lab) == {"Win2019"}
    assert world.destroy().code == 0
    assert labs.attached(lab) == {}


def test_a_failed_definition_fails_the_run_and_the_next_one_goes_on(world: World, labs: GalleryLabs) -> None:
    """The error names it, and the state has the resource."""
    gallery, lab = labs.add_gallery(), labs.add_lab()
    want(world, web=inputs_for(lab, gallery))
    labs.refuse({"Win2016": (409, "Conflict")})
    run = world.up()
    assert run.code != 0 and "lab 'Web': cannot enable Win2016.Datacenter (Azure returned 409 Conflict" in run.output
    assert labs.enabled(lab) == {"Ubuntu.Server"}
    world.cloud.clear_faults()
    world.cloud.clear_calls()
    assert world.serve().changes["updated"] == 1
    assert labs.writes() == [("PUT", "Win2016.Datacenter")] and labs.enabled(lab) == set(DEFINITIONS)


def test_another_gallery_replaces_the_attached_one(world: World, labs: GalleryLabs) -> None:
    """The old one is detached first, because a lab has one gallery at a time."""
    old, new, lab = labs.add_gallery("Old"), labs.add_gallery(), labs.add_lab()
    want(world, web=inputs_for(lab, old))
    world.serve()
    want(world, web=inputs_for(lab, new))
    assert "+-1 replaced" in world.serve().output
    assert labs.attached(lab) == {GALLERY: (new, "Disabled")} and labs.enabled(lab) == set(DEFINITIONS)


def test_an_existing_attachment_is_imported_by_its_id_without_a_write(world: World, labs: GalleryLabs) -> None:
    """Its definitions are those that the program declares, so nothing differs afterwards."""
    gallery = labs.add_gallery()
    lab = labs.add_lab("Web", gallery, *DEFINITIONS)
    want(world, web={**inputs_for(lab, gallery), "import": f"{lab}/sharedgalleries/{GALLERY}"})
    assert world.serve().changes["imported"] == 1
    assert world.serve("--refresh").only_unchanged and labs.writes() == []
