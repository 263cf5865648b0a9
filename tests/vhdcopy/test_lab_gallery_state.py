"""`LabGallery` and the state of a stack: what a refresh and an import find, and what a deletion detaches."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from pulumi.runtime.proto import provider_pb2

from tests.vhdcopy.gallery_labs import DEFINITIONS, GALLERY, KIND, GalleryLabs, inputs_for, refused, state_of
from tests.vhdcopy.plugin import Plugin, kept_by, struct


async def read(plugin: Plugin, id: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> Any:
    """What a refresh finds; of an import, which has no inputs."""
    request = provider_pb2.ReadRequest(urn=plugin.urn(KIND), id=id, inputs=struct(inputs), properties=struct(outputs))
    answer = await plugin.stub.Read(request)
    return answer.id, json_format.MessageToDict(answer.inputs), json_format.MessageToDict(answer.properties)


def found(inputs: dict[str, Any], name: str = GALLERY) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Id, inputs and outputs of a refresh that finds the inputs."""
    id, outputs = state_of(inputs, name)
    return id, inputs, outputs


GONE: tuple[str, dict[str, Any], dict[str, Any]] = ("", {}, {})


async def test_a_refresh_finds_what_the_state_has(labs: GalleryLabs, plugin: Plugin) -> None:
    """Although Azure spells the gallery's id in its own casing; nothing is written."""
    gallery = labs.add_gallery()
    inputs = inputs_for(labs.add_lab("Web", gallery.lower(), *DEFINITIONS), gallery)
    id, outputs = state_of(inputs)
    assert await read(plugin, id, inputs, outputs) == found(inputs)
    assert labs.writes() == []


async def test_a_refresh_finds_the_definitions_that_were_changed_by_hand(labs: GalleryLabs, plugin: Plugin) -> None:
    """So the next update differs, and writes what was changed."""
    gallery = labs.add_gallery()
    inputs = inputs_for(labs.add_lab("Web", gallery, *DEFINITIONS), gallery)
    id, outputs = state_of(inputs)
    labs.set(inputs["labId"], "Ubuntu.Server", "Disabled")
    labs.set(inputs["labId"], "Win2019", "Enabled")
    changed = inputs_for(inputs["labId"], gallery, "Win2016.Datacenter", "Win2019")
    assert await read(plugin, id, inputs, outputs) == found(changed)
    assert list((await plugin.diff(KIND, changed, inputs)).diffs) == ["definitions"]
    labs.cloud.clear_calls()
    await plugin.update(KIND, id, state_of(changed)[1], inputs)
    assert sorted(labs.writes()) == [("PUT", "Ubuntu.Server"), ("PUT", "Win2019")]
    assert labs.enabled(inputs["labId"]) == set(DEFINITIONS)


@pytest.mark.parametrize("there", ["nothing", "another gallery", "no lab"])
async def test_a_refresh_does_not_find_a_gallery_that_was_detached(
    labs: GalleryLabs, plugin: Plugin, there: str
) -> None:
    """The next update creates the resource, which attaches it."""
    gallery, other = labs.add_gallery(), labs.add_gallery("Theirs")
    lab = labs.add_lab("Web", other if there == "another gallery" else None)
    inputs = inputs_for(f"{lab}-gone" if there == "no lab" else lab, gallery)
    assert await read(plugin, state_of(inputs)[0], inputs, state_of(inputs)[1]) == GONE


async def test_a_refresh_of_a_lab_that_allows_all_images_makes_the_next_update_correct_it(
    labs: GalleryLabs, plugin: Plugin
) -> None:
    """It is found unhealthy, with every definition that its users can use."""
    gallery = labs.add_gallery()
    inputs = inputs_for(labs.add_lab("Web", gallery, *DEFINITIONS, allows="Enabled"), gallery)
    id, outputs = state_of(inputs)
    error = await refused(read(plugin, id, inputs, outputs))
    kept = kept_by(error)
    assert kept and kept[0] == id and len(kept[1]["definitions"]) == 4
    assert "allowAllImages" in str(error.details()) and "the next pulumi up corrects it" in str(error.details())


async def test_a_refresh_that_is_denied_keeps_the_state_and_warns(labs: GalleryLabs, plugin: Plugin) -> None:
    """Otherwise a missing role would make the engine forget the attachment."""
    gallery = labs.add_gallery()
    inputs = inputs_for(labs.add_lab("Web", gallery, *DEFINITIONS), gallery)
    id, outputs = state_of(inputs)
    rule = {"service": "arm", "path": "/sharedimages", "action": {"status": 403, "code": "AuthorizationFailed"}}
    labs.cloud.set_faults([rule])
    assert await read(plugin, id, inputs, outputs) == found(inputs)
    (warning,) = plugin.log.messages
    assert warning.startswith("lab 'Web': Azure returned 403") and warning.endswith("(its state is kept)")


@pytest.mark.parametrize("attachment", [GALLERY, "by-hand"])
async def test_an_import_finds_the_attachment_by_its_id(labs: GalleryLabs, plugin: Plugin, attachment: str) -> None:
    """With the definitions that are enabled."""
    gallery = labs.add_gallery()
    lab = labs.add_lab("Web", gallery, *DEFINITIONS, attachment=attachment)
    inputs = {**inputs_for(lab, gallery), "name": attachment}
    id = f"{lab}/sharedgalleries/{attachment}"
    assert await read(plugin, id, {}, {}) == found(inputs, attachment)
    assert await read(plugin, f"{lab}/sharedgalleries/other", {}, {}) == GONE
    assert await read(plugin, f"{lab}-gone/sharedgalleries/{attachment}", {}, {}) == GONE


async def test_an_import_by_another_id_or_without_permission_fails(labs: GalleryLabs, plugin: Plugin) -> None:
    """With the form of the id, and with the reason."""
    lab = labs.add_lab()
    told = str((await refused(read(plugin, lab, {}, {}))).details())
    assert told.startswith("import: ") and "LAB_ID/sharedgalleries/NAME" in told
    rule = {"service": "arm", "path": "/sharedgalleries", "action": {"status": 403, "code": "AuthorizationFailed"}}
    labs.cloud.set_faults([rule])
    denied = str((await refused(read(plugin, f"{lab}/sharedgalleries/x", {}, {}))).details())
    assert denied.startswith("lab 'Web': Azure returned 403 AuthorizationFailed")


@pytest.mark.parametrize("attachment", [GALLERY, "by-hand"])
async def test_a_deletion_detaches_the_gallery(labs: GalleryLabs, plugin: Plugin, attachment: str) -> None:
    """Under whatever name it is attached; once more is no error."""
    gallery = labs.add_gallery()
    lab = labs.add_lab("Web", gallery.lower(), *DEFINITIONS, attachment=attachment)
    inputs = inputs_for(lab, gallery)
    for _ in range(2):
        await plugin.delete(KIND, state_of(inputs, attachment)[0], inputs)
    assert labs.attached(lab) == {} and labs.writes() == [("DELETE", attachment)]


async def test_a_deletion_leaves_another_gallery_and_a_missing_lab_alone(labs: GalleryLabs, plugin: Plugin) -> None:
    """Even if the other gallery's attachment has the name of the own one."""
    gallery, other = labs.add_gallery(), labs.add_gallery("Theirs")
    lab = labs.add_lab("Web", other, "Win2019")
    for lab_id in (lab, f"{lab}-gone"):
        inputs = inputs_for(lab_id, gallery)
        await plugin.delete(KIND, state_of(inputs)[0], inputs)
    assert labs.attached(lab) == {GALLERY: (other, "Disabled")} and labs.writes() == []


async def test_a_deletion_that_is_denied_is_one_line(labs: GalleryLabs, plugin: Plugin) -> None:
    """The gallery stays attached."""
    gallery = labs.add_gallery()
    lab = labs.add_lab("Web", gallery)
    rule = {"service": "arm", "method": "DELETE", "path": "", "action": {"status": 403, "code": "AuthorizationFailed"}}
    labs.cloud.set_faults([rule])
    told = str((await refused(plugin.delete(KIND, "x", inputs_for(lab, gallery)))).details())
    assert told.startswith("lab 'Web': Azure returned 403") and "its gallery is not detached" in told
    assert labs.attached(lab) == {GALLERY: (gallery, "Disabled")}


async def test_another_gallery_is_attached_after_the_old_one_was_detached(labs: GalleryLabs, plugin: Plugin) -> None:
    """The order of the engine for a replacement that deletes first."""
    old, new = labs.add_gallery("Old"), labs.add_gallery()
    lab = labs.add_lab("Web", old, "Win2019", attachment="Old")
    await plugin.delete(KIND, "x", inputs_for(lab, old))
    await plugin.create(KIND, inputs_for(lab, new))
    assert labs.attached(lab) == {GALLERY: (new, "Disabled")} and labs.enabled(lab) == set(DEFINITIONS)
