"""Permissions and subscriptions as Azure returns them, the limit of a request, and the clock of the responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from time import time
from typing import Any

import pytest
from aiohttp import web

from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.permissions import Subscription, read_denials, read_permissions, read_subscription
from imagefactory.observed.permissions import EVERYONE, Denial, Permission, Principal
from tests.azure.storage_world import Token
from tests.federation import serving

LAB = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DevTestLab/labs/web"


@asynccontextmanager
async def answering(document: Any, limit: float | None = None, **headers: str) -> AsyncIterator[ResourceManager]:
    """A resource manager that always responds with this document; None: not before the test ends."""
    over = asyncio.Event()

    async def respond(_: web.BaseRequest) -> web.Response:
        if document is None:
            await over.wait()
        return web.json_response(document, headers=headers)

    async with serving(respond) as url, ResourceManager(Cloud(None, url, ""), Token(), limit) as arm:
        yield arm
        over.set()


async def test_each_role_is_a_permission_and_missing_lists_are_empty() -> None:
    """As documented, and with the null values that older roles have."""
    roles = [
        {"actions": ["*/read"], "notActions": ["a/read"], "dataActions": ["b"], "notDataActions": ["c"]},
        {"actions": ["d"], "notActions": None, "condition": "@Resource", "conditionVersion": "2.0"},
    ]
    async with answering({"value": roles}) as arm:
        found = await read_permissions(arm, LAB, "lab")
    assert found == (Permission(("*/read",), ("a/read",), ("b",), ("c",)), Permission(("d",), conditional=True))


@pytest.mark.parametrize("actions", ["*", [7], {"a": "b"}])
async def test_permissions_of_another_form_are_an_error(actions: object) -> None:
    """They do not count as none, or all."""
    async with answering({"value": [{"actions": actions}]}) as arm:
        with pytest.raises(CloudError, match="is not valid"):
            await read_permissions(arm, LAB, "lab")


async def test_deny_assignments_are_read_as_azure_shows_them() -> None:
    """With absent lists, and an excluded principal without id, as those of a blueprint have (documentation)."""
    principals = [{"id": EVERYONE, "type": "SystemDefined", "displayName": "All Principals"}]
    properties = {
        "denyAssignmentName": "one",
        "permissions": [{"actions": ["*"], "notActions": ["*/read"], "dataActions": []}],
        "scope": "/subscriptions/s/resourceGroups/g",
        "doNotApplyToChildScopes": True,
        "principals": principals,
        "excludePrincipals": [{"type": "ServicePrincipal"}],
        "isSystemProtected": True,
    }
    other = {"name": "id", "properties": {"scope": "/", "permissions": [{"dataActions": ["d"]}], "condition": "@x"}}
    async with answering({"value": [{"name": "id", "properties": properties}, other]}) as arm:
        found = await read_denials(arm, "s")
    everyone = (Principal(EVERYONE, "SystemDefined"),)
    given, excluded = (Permission(("*",), ("*/read",)),), (Principal("", "ServicePrincipal"),)
    assert found == (
        Denial("one", "/subscriptions/s/resourceGroups/g", given, everyone, excluded, True),
        Denial("id", "/", (Permission(data_actions=("d",), conditional=True),), ()),
    )


@pytest.mark.parametrize("item", [{}, {"properties": {}}, {"properties": {"scope": "/", "permissions": "*"}}])
async def test_deny_assignments_of_another_form_are_an_error(item: object) -> None:
    """They do not count as none."""
    async with answering({"value": [item]}) as arm:
        with pytest.raises(CloudError, match="is not valid"):
            await read_denials(arm, "s")


async def test_a_subscription_is_read_as_far_as_azure_shows_it() -> None:
    """State and tenant."""
    async with answering({"state": "Disabled", "tenantId": "t", "displayName": "Team", "more": 1}) as arm:
        assert await read_subscription(arm, "s") == Subscription(displayName="Team", state="Disabled", tenantId="t")


async def test_a_request_that_gets_no_response_ends_at_its_limit() -> None:
    """As an error that names what was read."""
    async with answering(None, limit=0.05) as arm:
        with pytest.raises(CloudError, match="lab 'web': no response from Azure within") as refused:
            await read_permissions(arm, LAB, "lab 'web'")
    assert refused.value.status == 0


@pytest.mark.parametrize("ahead", [-4000, 0, 90])
async def test_the_clock_is_that_of_the_responses(ahead: float) -> None:
    """Within what a second's fraction and this test's own time make of it."""
    async with answering({}, Date=formatdate(time() + ahead, usegmt=True)) as arm:
        await read_subscription(arm, "s")
        assert arm.clock.ahead is not None and ahead - 30 < arm.clock.ahead <= ahead + 1


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 2026 99:99:99 GMT"])
async def test_a_date_that_is_none_tells_nothing(date: str) -> None:
    """And is no error."""
    async with answering({}, Date=date) as arm:
        await read_subscription(arm, "s")
        assert arm.clock.ahead is None
