"""Galleries in labs: what is sent to DevTest Labs, and unusual responses, from a stand-in server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from aiohttp import web

from imagefactory.azure.core import resource_manager
from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.lab_galleries import API_VERSION, attach, attachments, definitions, detach, set_definition
from imagefactory.observed.lab_galleries import Attachment, Definition, LabDefinition
from tests.azure.storage_world import Token
from tests.azure.test_virtual_machines import LAB_ID
from tests.federation import serving

GALLERY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/G"
ATTACHMENT = Attachment("G", GALLERY, "westeurope", tags={"owner": "team"})
DEFINITION = LabDefinition("Win.A", Definition("Win.A", "Windows", "Specialized"), True, display_name="Windows A")

Sent = tuple[str, str, Any]
"""Method, path below the lab, and body of a request."""


@asynccontextmanager
async def labs(*answers: Callable[[], web.Response]) -> AsyncIterator[tuple[ResourceManager, list[Sent]]]:
    """A resource manager with these responses, one after the other, and the requests that it got."""
    sent: list[Sent] = []

    async def respond(request: web.BaseRequest) -> web.Response:
        assert request.query["api-version"] == API_VERSION
        body = await request.json() if request.can_read_body else None
        sent.append((request.method, request.path.removeprefix(LAB_ID), body))
        return answers[len(sent) - 1]()

    async with serving(respond) as url, ResourceManager(Cloud(None, url, ""), Token()) as arm:
        yield arm, sent


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations are polled without a wait."""
    monkeypatch.setattr(resource_manager, "POLL_SECONDS", 0.0)


def attachment(state: str) -> dict[str, Any]:
    """An attachment in a provisioning state, as Azure returns it."""
    about = {"galleryId": GALLERY.lower(), "allowAllImages": "Disabled", "provisioningState": state}
    return {"name": "G", "location": "westeurope", "properties": about}


async def test_a_gallery_is_attached_with_location_and_its_tags() -> None:
    """As the specification has it; without a location Azure refuses it, and a PUT replaces the tags."""
    async with labs(lambda: web.json_response(attachment("Succeeded"), status=201)) as (arm, sent):
        await attach(arm, LAB_ID, ATTACHMENT)
    properties = {"galleryId": GALLERY, "allowAllImages": "Disabled"}
    body = {"location": "westeurope", "properties": properties, "tags": {"owner": "team"}}
    assert sent == [("PUT", "/sharedgalleries/G", body)]


def through(*states: str) -> list[Callable[[], web.Response]]:
    """Responses with the attachment in these states."""
    return [partial(web.json_response, attachment(state), status=201) for state in states]


async def test_an_attachment_that_takes_long_is_waited_for() -> None:
    """Until its state is an end state; one that fails is an error."""
    async with labs(*through("Creating", "Creating", "Succeeded")) as (arm, sent):
        await attach(arm, LAB_ID, ATTACHMENT)
    assert [method for method, _, _ in sent] == ["PUT", "GET", "GET"]
    async with labs(*through("Creating", "Failed")) as (arm, _):
        with pytest.raises(CloudError) as caught:
            await attach(arm, LAB_ID, ATTACHMENT)
    assert str(caught.value).startswith(f"lab '{LAB_ID.rpartition('/')[2]}': ") and "\n" not in str(caught.value)


async def test_a_lab_that_was_deleted_meanwhile_is_an_error_of_an_attachment_and_none_of_a_detachment() -> None:
    """There is nothing left to detach."""
    gone = {"error": {"code": "ResourceNotFound", "message": "The lab was not found."}}
    async with labs(*[lambda: web.json_response(gone, status=404)] * 2) as (arm, _):
        with pytest.raises(CloudError, match="ResourceNotFound"):
            await attach(arm, LAB_ID, ATTACHMENT)
        await detach(arm, LAB_ID, "G")


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_definition_is_set_with_one_request(enabled: bool) -> None:
    """A new one is returned in the state `Created`, which is no end state for azure-core: it is not polled."""
    created = {"name": "Win.A", "properties": {"provisioningState": "Created"}}
    wanted = LabDefinition(DEFINITION.name, DEFINITION.definition, enabled, display_name=DEFINITION.display_name)
    async with labs(lambda: web.json_response(created, status=201)) as (arm, sent):
        await set_definition(arm, LAB_ID, "G", wanted)
    state = {"enableState": "Enabled" if enabled else "Disabled", "displayName": "Windows A"}
    properties = {"definitionName": "Win.A", "osType": "Windows", "imageType": "Specialized", **state}
    assert sent == [("PUT", "/sharedgalleries/G/sharedimages/Win.A", {"properties": properties})]


async def test_states_are_read_in_any_casing() -> None:
    """DevTest Labs returns ids in its own casing, so perhaps other words too."""
    one = {
        "name": "g",
        "properties": {"galleryId": GALLERY, "allowAllImages": "enabled", "provisioningState": "FAILED"},
    }
    about = {"osType": "windows", "imageType": "generalized", "enableState": "ENABLED", "provisioningState": "failed"}
    image = {"name": "win.a", "properties": about}
    async with labs(lambda: web.json_response({"value": [one]}), lambda: web.json_response({"value": [image]})) as (
        arm,
        _,
    ):
        assert await attachments(arm, LAB_ID) == (Attachment("g", GALLERY, allows_all=True, failed=True),)
        found = LabDefinition("win.a", Definition("win.a", "windows", "generalized"), enabled=True, failed=True)
        assert await definitions(arm, LAB_ID, "g") == (found,)


@pytest.mark.parametrize("name", ["../x", "a?b", "a#b", ""])
async def test_a_name_of_azure_cannot_lead_a_request_elsewhere(name: str) -> None:
    """It is an error in one line, and nothing is sent."""
    async with labs() as (arm, sent):
        with pytest.raises(CloudError) as caught:
            await set_definition(arm, LAB_ID, "G", LabDefinition(name, DEFINITION.definition, enabled=True))
        assert "\n" not in str(caught.value) and sent == []
