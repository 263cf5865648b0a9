"""What the VMs of a lab say they were created from: a response that is not as documented makes all of them unknown.

A stand-in server returns what the test says.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from aiohttp import web

from imagefactory.azure.lab_machines import with_machines
from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.configuration.stack_settings import FactoryLab, Settings
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.observed.lab_machines import LabMachine
from imagefactory.observed.standing_labs import LabFacts
from tests.azure.test_virtual_machines import LAB, LAB_ID, SUBSCRIPTION, connected, lab_vm

MACHINES = f"GET {LAB_ID}/virtualmachines"
GALLERY_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/galleries/images"
MADE = datetime(2018, 10, 1, 23, 53, 2, 483086, timezone.utc)


def settings(**changes: Any) -> Settings:
    """The settings of a stack that keeps images in use."""
    factory = FactoryLab(subscription_id=SUBSCRIPTION, lab_name="factory")
    return Settings(**{"factory": factory, "keep_used_days": 30, **changes})


async def read(answers: dict[str, Any], by: Settings | None = None) -> LabFacts:
    """The lab with its VMs."""
    async with connected(answers) as arm:
        found = (await with_machines(arm, by or settings(), {"lab": LAB}))["lab"]
    assert isinstance(found, LabFacts)
    return found


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"customImageId": f"{LAB_ID}/customimages/Win_A"}, LabMachine("golden", image="win_a")),
        ({"createdDate": "2018-10-01T16:53:02.4830866-07:00"}, LabMachine("golden", MADE)),
        ({"createdDate": "soon", "customImageId": None}, LabMachine("golden")),
        ({"createdDate": 7}, LabMachine("golden")),
        (
            {"sharedImageId": f"{LAB_ID}/sharedgalleries/images/sharedimages/Win.A", "sharedImageVersion": "1.2.3"},
            LabMachine("golden", definition="win.a", version="1.2.3"),
        ),
        (
            {"sharedImageId": f"{LAB_ID}/sharedgalleries/images/sharedimages/Win.A", "sharedImageVersion": "Latest"},
            LabMachine("golden", definition="win.a"),
        ),
        (
            {"galleryImageVersionId": f"{GALLERY_ID}/images/Win.A/Versions/1.2.3"},
            LabMachine("golden", definition="win.a", version="1.2.3"),
        ),
    ],
)
async def test_a_vm_says_its_image_in_one_of_three_ways(properties: dict[str, Any], expected: LabMachine) -> None:
    """And when it was created, if that can be read."""
    assert (await read({MACHINES: {"value": [lab_vm(**properties)]}})).machines == (expected,)


@pytest.mark.parametrize("bad", [403, 404, {"value": [lab_vm(), lab_vm(customImageId=7)]}, {"value": [{"name": "x"}]}])
async def test_vms_that_cannot_be_read_are_a_diagnostic_of_the_lab(bad: object) -> None:
    """Also if only one of them is not as documented; the lab itself is read."""
    found = await read({MACHINES: bad})
    assert found.name == LAB.name and isinstance(found.machines, Diagnostic)
    assert found.machines.subject.startswith("VMs of lab 'factory'")


async def test_vms_are_listed_once_and_only_if_a_setting_needs_them() -> None:
    """With the API version that has gallery versions only if the stack has a gallery."""
    asked = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request.query["api-version"])
        return web.json_response({"value": []})

    assert (await read({MACHINES: answer}, settings(keep_used_days=None))).machines is None and not asked
    assert (await read({MACHINES: answer})).machines == () and asked == ["2018-09-15"]
    await read({MACHINES: answer}, settings(gallery=GallerySettings(id=GALLERY_ID)))
    assert asked[1:] == ["2018-10-15-preview"]
    lost = error("lab", "is lost", "", "Find it")
    async with connected({}) as arm:
        assert await with_machines(arm, settings(), {"lab": lost}) == {"lab": lost}
