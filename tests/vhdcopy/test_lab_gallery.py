"""`LabGallery` over gRPC on the embedded cloud: what it writes, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from imagefactory.azure.core.clouds import cloud_of
from imagefactory.azure.core.credentials import credential
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.configuration.stack_settings import parse_settings
from imagefactory.errors import ImageFactoryError
from providers.vhdcopy import lab_gallery_requests
from providers.vhdcopy.lab_gallery import LabGalleryInputs
from providers.vhdcopy.resource import UNKNOWN
from tests.vhdcopy.copying import Shown
from tests.vhdcopy.gallery_labs import DEFINITIONS, GALLERY, KIND, TAGS, GalleryLabs, inputs_for, refused, state_of
from tests.vhdcopy.plugin import Plugin, kept_by


async def test_the_gallery_is_attached_and_exactly_the_definitions_are_enabled(
    labs: GalleryLabs, plugin: Plugin
) -> None:
    """All others stay disabled; the outputs are the inputs and the id of the attachment."""
    gallery, lab = labs.add_gallery(), labs.add_lab()
    inputs = inputs_for(lab, gallery)
    answer = await plugin.create(KIND, inputs)
    assert (answer.id, json_format.MessageToDict(answer.properties)) == state_of(inputs)
    assert labs.attached(lab) == {GALLERY: (gallery, "Disabled")} and labs.enabled(lab) == set(DEFINITIONS)


@pytest.mark.parametrize("attachment", [GALLERY, "by-hand"])
async def test_a_lab_that_is_as_wanted_is_adopted_without_a_write(
    labs: GalleryLabs, plugin: Plugin, attachment: str
) -> None:
    """Two reads suffice. An attachment under another name is kept, because a lab has one gallery at a time."""
    gallery = labs.add_gallery()
    lab = labs.add_lab("Web", gallery.upper(), *DEFINITIONS, attachment=attachment)
    inputs = inputs_for(lab, gallery)
    answer = await plugin.create(KIND, inputs)
    assert (answer.id, json_format.MessageToDict(answer.properties)) == state_of(inputs, attachment)
    assert [call["method"] for call in labs.requests()] == ["GET", "GET"]


async def test_an_update_writes_only_what_differs(labs: GalleryLabs, plugin: Plugin) -> None:
    """One definition is enabled, one disabled; the attachment and the third definition are not written."""
    gallery = labs.add_gallery()
    lab = labs.add_lab("Web", gallery, *DEFINITIONS)
    inputs = inputs_for(lab, gallery, "Win2016.Datacenter", "Win2019")
    await plugin.update(KIND, *state_of(inputs_for(lab, gallery)), inputs)
    assert sorted(labs.writes()) == [("PUT", "Ubuntu.Server"), ("PUT", "Win2019")]
    assert labs.enabled(lab) == {"Win2016.Datacenter", "Win2019"}


async def test_all_definitions_can_be_disabled(labs: GalleryLabs, plugin: Plugin) -> None:
    """The gallery stays attached."""
    gallery = labs.add_gallery()
    lab = labs.add_lab("Web", gallery, *DEFINITIONS)
    none = {**inputs_for(lab, gallery), "definitions": []}
    assert await plugin.update(KIND, *state_of(inputs_for(lab, gallery)), none) == state_of(none)[1]
    assert labs.enabled(lab) == set() and labs.attached(lab) == {GALLERY: (gallery, "Disabled")}


async def test_a_lab_that_allows_all_images_is_corrected(labs: GalleryLabs, plugin: Plugin) -> None:
    """Otherwise its users could use every image of the gallery. Its tags are kept."""
    gallery = labs.add_gallery()
    lab = labs.add_lab("Web", gallery, "Win2019")
    labs.allow_all(lab, gallery)
    await plugin.create(KIND, inputs_for(lab, gallery))
    assert labs.call("GET", f"{lab}/sharedgalleries/{GALLERY}")["tags"] == TAGS
    assert labs.attached(lab) == {GALLERY: (gallery, "Disabled")} and labs.enabled(lab) == set(DEFINITIONS)


async def test_a_lab_with_another_gallery_is_an_error_and_not_changed(labs: GalleryLabs, plugin: Plugin) -> None:
    """The error names both and says what to do; nothing is written and no state is kept."""
    gallery, other = labs.add_gallery(), labs.add_gallery("Theirs")
    lab = labs.add_lab("Web", other, "Win2019", attachment="Theirs")
    error = await refused(plugin.create(KIND, inputs_for(lab, gallery)))
    told = str(error.details())
    assert told.startswith("lab 'Web': has the gallery 'Theirs' attached") and other in told
    assert f"gallery '{GALLERY}' is not attached" in told and "Detach that gallery" in told
    assert kept_by(error) is None and labs.writes() == []
    assert labs.attached(lab) == {"Theirs": (other, "Disabled")} and labs.enabled(lab, "Theirs") == {"Win2019"}


async def test_a_lab_that_does_not_exist_is_an_error(labs: GalleryLabs, plugin: Plugin) -> None:
    """Named, on one line, and without a state."""
    gallery, lab = labs.add_gallery(), labs.add_lab()
    error = await refused(plugin.create(KIND, inputs_for(f"{lab}-gone", gallery)))
    assert str(error.details()).startswith("lab 'Web-gone': does not exist") and kept_by(error) is None


async def test_a_gallery_that_does_not_exist_is_an_error_and_the_next_update_attaches_it(
    labs: GalleryLabs, plugin: Plugin
) -> None:
    """The state is kept, because the request may have attached it."""
    lab = labs.add_lab()
    inputs = inputs_for(lab, labs.add_gallery().replace(GALLERY, "Late"))
    error = await refused(plugin.create(KIND, inputs))
    kept = kept_by(error)
    assert kept and (kept[0], kept[1]["attachmentId"]) == (state_of(inputs, "Late")[0],) * 2
    labs.add_gallery("Late")
    await plugin.update(KIND, *state_of(inputs, "Late"), inputs)
    assert labs.enabled(lab, "Late") == set(DEFINITIONS)


async def test_a_definition_that_cannot_be_enabled_stops_no_other_and_the_next_update_goes_on(
    labs: GalleryLabs, plugin: Plugin
) -> None:
    """The error names each with its reason, the state has id and inputs, and only what failed is written again."""
    gallery, lab = labs.add_gallery(), labs.add_lab()
    inputs = inputs_for(lab, gallery, "Ubuntu.Server", "Win11-gen2", "Win2016.Datacenter", "Win2019")
    refusals = {"Win2019": (403, "AuthorizationFailed"), "Win11-gen2": (409, "Conflict"), "Ubuntu": (409, "Conflict")}
    labs.refuse(refusals)
    error = await refused(plugin.create(KIND, inputs))
    told, kept = str(error.details()), kept_by(error)
    assert told.startswith("lab 'Web': cannot enable Ubuntu.Server, Win11-gen2 (Azure returned 409 Conflict: ")
    assert "; cannot enable Win2019 (Azure returned 403 AuthorizationFailed: " in told
    assert "the gallery's other definitions are as wanted" in told and "Run imagefactory doctor" in told
    assert kept and kept[0] == state_of(inputs)[0] and kept[2] == [told]
    assert kept[1]["galleryId"] == gallery and len(kept[1]["definitions"]) == 4
    assert labs.enabled(lab) == {"Win2016.Datacenter"}
    labs.cloud.clear_faults()
    labs.cloud.clear_calls()
    assert await plugin.update(KIND, *state_of(inputs), inputs) == state_of(inputs)[1]
    assert sorted(labs.writes()) == [("PUT", "Ubuntu.Server"), ("PUT", "Win11-gen2"), ("PUT", "Win2019")]
    assert labs.enabled(lab) == set(refusals) - {"Ubuntu"} | set(DEFINITIONS)


async def test_a_definition_that_cannot_be_disabled_is_named_as_such(labs: GalleryLabs, plugin: Plugin) -> None:
    """The wanted ones are enabled all the same."""
    gallery = labs.add_gallery()
    lab = labs.add_lab("Web", gallery, "Win2019")
    labs.refuse({"Win2019": (403, "AuthorizationFailed")})
    error = await refused(plugin.create(KIND, inputs_for(lab, gallery)))
    assert "cannot disable Win2019 (Azure returned 403" in str(error.details())
    assert labs.enabled(lab) == {*DEFINITIONS, "Win2019"}


async def test_a_definition_that_the_lab_does_not_list_yet_is_enabled_once_it_does(
    labs: GalleryLabs, plugin: Plugin
) -> None:
    """Azure needs minutes until a lab lists the definitions of a gallery that was just attached; the row says so."""
    labs.cloud.set_latencies({"sharedImageSeconds": 2})
    gallery, lab = labs.add_gallery(), labs.add_lab()
    await plugin.create(KIND, inputs_for(lab, gallery))
    assert labs.enabled(lab) == set(DEFINITIONS)
    assert "waiting until the lab lists ubuntu.server, win2016.datacenter" in plugin.log.messages
    assert [call["status"] for call in labs.requests() if call["method"] == "PUT"].count(404) == len(DEFINITIONS)


async def test_a_definition_that_the_gallery_lacks_is_waited_for_within_bounds(
    labs: GalleryLabs, shell: dict[str, str], signed_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is an error that names it; the others are enabled at once."""
    monkeypatch.setattr(lab_gallery_requests, "LISTED_SECONDS", 0.5)
    gallery, lab = labs.add_gallery(), labs.add_lab()
    wanted = LabGalleryInputs.model_validate(inputs_for(lab, gallery, *DEFINITIONS, "Unheard")).wanted
    factory = {"subscriptionId": labs.subscription, "labName": "factory"}
    cloud = cloud_of(parse_settings({"cloud": "custom", "factory": factory}, shell))
    shown: Any = Shown()
    async with ResourceManager(cloud, credential(cloud)) as arm:
        with pytest.raises(ImageFactoryError) as caught:
            await lab_gallery_requests.correct(arm, lab, wanted, None, shown)
    told = str(caught.value)
    assert told.startswith("lab 'Web': cannot enable Unheard (the lab does not list it after") and "\n" not in told
    assert "Check that the gallery has this definition" in told
    assert labs.enabled(lab) == set(DEFINITIONS)


async def test_a_preview_requests_nothing_also_with_an_unknown_gallery(labs: GalleryLabs, plugin: Plugin) -> None:
    """At the first preview the gallery does not exist yet; its id and name are unknown."""
    gallery, lab = labs.add_gallery(), labs.add_lab()
    inputs = inputs_for(lab, gallery)
    planned = await plugin.create(KIND, inputs, preview=True)
    assert json_format.MessageToDict(planned.properties) == state_of(inputs)[1]
    unnamed = {name: value for name, value in inputs.items() if name != "name"} | {"galleryId": UNKNOWN}
    stored, failures = await plugin.check(KIND, unnamed)
    assert not failures and stored["name"] == stored["galleryId"] == UNKNOWN
    planned = await plugin.create(KIND, stored, preview=True)
    assert planned.properties["attachmentId"] == planned.properties["galleryId"] == UNKNOWN
    assert labs.requests() == []


async def test_the_check_stores_definitions_sorted_and_rejects_a_name_twice(labs: GalleryLabs, plugin: Plugin) -> None:
    """Lists of objects reach the plugin and come back as the state has them."""
    inputs = inputs_for(labs.add_lab(), labs.add_gallery())
    reverse = {**inputs, "definitions": inputs["definitions"][::-1]}
    request = await plugin.check(KIND, reverse)
    assert [each["name"] for each in request[0]["definitions"]] == list(DEFINITIONS) and request[1] == {}
    twice = {**inputs, "definitions": inputs["definitions"] * 2}
    assert (await plugin.check(KIND, twice))[1] == {"definitions": "has a name twice"}


async def test_a_difference_updates_or_replaces_and_deletes_first(labs: GalleryLabs, plugin: Plugin) -> None:
    """Casing and the order of definitions are no difference."""
    inputs = inputs_for(labs.add_lab(), labs.add_gallery())
    other = {**inputs, "labId": inputs["labId"].upper(), "galleryId": inputs["galleryId"].lower()}
    assert not (await plugin.diff(KIND, inputs, other)).diffs
    fewer = await plugin.diff(KIND, inputs, {**inputs, "definitions": inputs["definitions"][:1]})
    assert (list(fewer.diffs), list(fewer.replaces)) == (["definitions"], [])
    moved = await plugin.diff(KIND, inputs, {**inputs, "galleryId": f"{inputs['galleryId']}2", "location": "westus"})
    assert list(moved.diffs) == ["location", "galleryId"] and list(moved.replaces) == ["galleryId"]
    assert moved.deleteBeforeReplace
