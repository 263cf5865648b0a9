"""Labs and their images: an invalid id in a response is a diagnostic of that lab, and every other lab is read.

A stand-in server returns what the test says. `test_observe` tests valid labs.
"""

from __future__ import annotations

from typing import Any

import pytest

from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.labs import find_image, lab_facts
from imagefactory.configuration.labs_file import LabKey
from imagefactory.diagnostics import Diagnostic
from imagefactory.observed.standing_labs import LabFacts
from tests.azure.test_virtual_machines import SUBSCRIPTION, connected

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/labs/providers"
ACCOUNT = f"{GROUP}/Microsoft.Storage/storageAccounts/store1"
STRAY = ".attacker.example/x"


def lab(name: str, **changes: Any) -> dict[str, Any]:
    """A lab as Azure lists it."""
    about = {"artifactsStorageAccount": changes.pop("account", ACCOUNT)}
    id = f"{GROUP}/Microsoft.DevTestLab/labs/{name}"
    return {"id": id, "name": name, "location": "westeurope", "properties": about, **changes}


def image(of: str, name: str, **changes: Any) -> dict[str, Any]:
    """A custom image as its lab lists it."""
    return {
        "id": f"{lab(of)['id']}/customimages/{name}",
        "name": name,
        "properties": {"provisioningState": "Succeeded"},
        **changes,
    }


async def read(
    *labs: dict[str, Any], images: dict[str, list[dict[str, Any]]] | None = None
) -> dict[str, LabFacts | Diagnostic]:
    """Read the labs `good` and `bad`."""
    answers: dict[str, Any] = {
        f"GET /subscriptions/{SUBSCRIPTION}/providers/Microsoft.DevTestLab/labs": {"value": list(labs)}
    }
    for name in ("good", "bad"):
        answers[f"GET {lab(name)['id']}/customimages"] = {"value": (images or {}).get(name, [])}
    keys = {name: LabKey(SUBSCRIPTION, name) for name in ("good", "bad")}
    async with connected(answers) as arm:
        _, found = await lab_facts(arm, keys["good"], keys.values())
    return {name: found[key] for name, key in keys.items()}


@pytest.mark.parametrize(
    ("bad", "fact"),
    [
        (lab("bad", account=STRAY), "not an id of a Microsoft.Storage/storageAccounts"),
        (lab("bad", account=f"{ACCOUNT}@attacker.example"), "attacker.example"),
        (lab("bad", account=ACCOUNT.replace("store1", "a.b")), "not an id of a Microsoft.Storage/storageAccounts"),
        (lab("bad", account=lab("bad")["id"]), "not an id of a Microsoft.Storage/storageAccounts"),
        (lab("bad", account=7), "not an id of a Microsoft.Storage/storageAccounts"),
        (lab("bad", id=STRAY), "not an id of a Microsoft.DevTestLab/labs"),
        (lab("bad", id=lab("good")["id"]), "not an id of a Microsoft.DevTestLab/labs"),
        (lab("bad", id="/bad"), "not an id of a Microsoft.DevTestLab/labs"),
        (lab("bad", id=None), "not an id of a Microsoft.DevTestLab/labs"),
    ],
)
async def test_a_lab_with_an_invalid_id_is_a_diagnostic_and_the_others_are_read(bad: dict[str, Any], fact: str) -> None:
    """The message names it; the command adds what follows."""
    found = await read(lab("good"), bad)
    assert isinstance(found["good"], LabFacts) and found["good"].storage_account == "store1"
    diagnostic = found["bad"]
    assert isinstance(diagnostic, Diagnostic) and fact in diagnostic.fact
    assert diagnostic.message().startswith("lab 'bad': ") and not diagnostic.consequence


@pytest.mark.parametrize("id", [STRAY, f"{lab('good')['id']}/customimages/other", f"{ACCOUNT}?", None])
async def test_an_image_with_an_invalid_id_is_a_diagnostic_of_its_lab(id: str | None) -> None:
    """No decision is based on a part of a lab's images; the other labs are read."""
    images = {"good": [image("good", "a (1)")], "bad": [image("bad", "fine"), image("bad", "bent", id=id)]}
    found = await read(lab("good"), lab("bad"), images=images)
    assert isinstance(found["good"], LabFacts) and [each.name for each in found["good"].images] == ["a (1)"]
    diagnostic = found["bad"]
    assert (
        isinstance(diagnostic, Diagnostic)
        and "not an id of a Microsoft.DevTestLab/labs/customimages" in diagnostic.fact
    )


async def test_a_lab_without_a_storage_account_has_facts() -> None:
    """The plan reports it, and can still retire its images."""
    found = await read(lab("good"), lab("bad", account=None))
    assert isinstance(found["bad"], LabFacts) and found["bad"].storage_account_id is None


async def test_an_image_that_is_requested_has_the_id_of_the_request() -> None:
    """A later deletion cannot delete another image."""
    asked = image("good", "golden")["id"]
    for id in (STRAY, image("good", "other")["id"], None):
        async with connected({f"GET {asked}": image("good", "golden", id=id)}) as arm:
            with pytest.raises(CloudError, match=r"not an id of a Microsoft\.DevTestLab/labs/customimages"):
                await find_image(arm, asked)
    async with connected({f"GET {asked}": image("good", "golden", id=asked.upper())}) as arm:
        found = await find_image(arm, asked)
    assert found and found.id == asked.upper()
