"""The storage accounts of labs are read once each, and one that cannot be read is not taken for an ordinary one."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from imagefactory.azure.lab_storage import with_accounts
from imagefactory.diagnostics import Diagnostic, Severity
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.observed.storage_accounts import AccountFacts
from tests.azure.test_virtual_machines import connected
from tests.unit.builders import facts

ACCOUNT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/store"


async def read(answer: Any) -> LabFacts | Diagnostic:
    """Read the account of one lab."""
    async with connected({f"GET {ACCOUNT}": answer}) as arm:
        found = await with_accounts(arm, {"team": facts("team", storage_account_id=ACCOUNT)})
    return found["team"]


async def test_the_facts_are_those_that_arm_shows() -> None:
    """Kind, hierarchical namespace, copy scope and endpoint."""
    properties = {
        "isHnsEnabled": True,
        "allowedCopyScope": "AAD",
        "primaryEndpoints": {"blob": "https://store.z12.blob.storage.azure.net/"},
    }
    lab = await read({"id": ACCOUNT, "kind": "StorageV2", "properties": properties})
    endpoint = "https://store.z12.blob.storage.azure.net/"
    assert isinstance(lab, LabFacts) and lab.account == AccountFacts("store", "StorageV2", True, "AAD", endpoint)


@pytest.mark.parametrize("answer", [{}, {"properties": None}, {"properties": {"primaryEndpoints": {}}}])
async def test_an_answer_without_facts_is_an_account_of_unknown_kind(answer: dict[str, Any]) -> None:
    """The service decides."""
    lab = await read(answer)
    assert isinstance(lab, LabFacts) and lab.account == AccountFacts("store")


@pytest.mark.parametrize("answer", [{"kind": 7}, {"properties": []}, {"properties": {"primaryEndpoints": []}}])
async def test_an_answer_out_of_shape_is_a_diagnostic_of_its_lab(answer: dict[str, Any]) -> None:
    """It names the request."""
    lab = await read(answer)
    assert isinstance(lab, Diagnostic) and f"the response to GET {ACCOUNT} is not valid" in lab.fact


async def test_an_account_that_may_not_be_seen_is_a_warning() -> None:
    """Copies do not need that permission; the remedy names it."""
    lab = await read(403)
    assert isinstance(lab, LabFacts) and isinstance(lab.account, Diagnostic)
    assert lab.account.severity is Severity.WARNING and "storageAccounts/read" in lab.account.remedy


async def test_an_account_that_does_not_exist_is_a_diagnostic_of_its_lab() -> None:
    """Nothing could be staged there."""
    lab = await read(404)
    assert isinstance(lab, Diagnostic) and lab.message().startswith("lab 'team': storage account 'store': does not")


async def test_labs_that_share_an_account_cost_one_request() -> None:
    """In whatever letter case they name it; labs without one, or that were not read, none."""
    asked: list[str] = []

    def answer(request: Any) -> Any:
        from aiohttp import web

        asked.append(request.path)
        return web.json_response({"kind": "Storage"})

    other = facts("other", storage_account_id=ACCOUNT.upper())
    labs = {"team": facts("team", storage_account_id=ACCOUNT), "other": other, "none": facts(storage_account_id=None)}
    async with connected({f"GET {ACCOUNT}": answer, f"GET {ACCOUNT.upper()}": answer}) as arm:
        found = await with_accounts(arm, labs)
    assert len(asked) == 1
    kinds = [
        lab.account.kind
        for lab in found.values()
        if isinstance(lab, LabFacts) and isinstance(lab.account, AccountFacts)
    ]
    assert kinds == ["Storage", "Storage"]


SUBSCRIPTION = f"/subscriptions/{uuid.UUID(int=1)}"
LISTED = f"GET {SUBSCRIPTION}/providers/Microsoft.Storage/storageAccounts"


def account_of(name: str) -> str:
    """The id of an account in the subscription that is listed."""
    return f"{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/{name}"


@pytest.mark.parametrize(
    ("listed", "alone"),
    [
        ({"value": [{"id": account_of("one").upper(), "name": "one", "kind": "Storage"}]}, ["two"]),
        ({"value": [{"id": account_of("one"), "name": "one", "kind": 7}, {"name": "two"}, {}]}, ["one", "two"]),
        ({"value": []}, ["one", "two"]),
        (403, ["one", "two"]),
        (404, ["one", "two"]),
    ],
)
async def test_several_accounts_of_a_subscription_are_listed_once_and_only_others_are_requested(
    listed: Any, alone: list[str]
) -> None:
    """Those that the listing does not show, or not as Azure documents it: only a request for each says why."""
    asked: list[str] = []

    def answer(request: Any) -> Any:
        from aiohttp import web

        asked.append(request.path.rpartition("/")[2])
        return web.json_response({"kind": "Storage"})

    labs = {name: facts(name, storage_account_id=account_of(name)) for name in ("one", "two")}
    single = {f"GET {account_of(name)}": answer for name in labs}
    async with connected({LISTED: listed, **single}) as arm:
        found = await with_accounts(arm, labs)
    assert sorted(asked) == alone
    assert {key: lab.account for key, lab in found.items() if isinstance(lab, LabFacts)} == {
        name: AccountFacts(name, "Storage") for name in labs
    }
