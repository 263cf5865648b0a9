"""Access to disks: unusual responses of Azure to a grant and to a revocation, from a stand-in server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from azure.core.pipeline.policies import AsyncRetryPolicy

from imagefactory.azure import disk_access
from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.disk_access import WAITS, DiskAccess
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.errors import ImageFactoryError
from imagefactory.observed.factory_vms import ManagedDisk
from tests.azure.storage_world import Token
from tests.azure.test_virtual_machines import DISK
from tests.federation import serving

DISK_FACTS = ManagedDisk(DISK, "u", 512, "Reserved")
COMMAND = f"Revoke it: az disk revoke-access --ids {DISK}"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is tried again without a wait."""
    monkeypatch.setattr(disk_access, "WAITS", (0.0,) * len(WAITS))
    monkeypatch.setattr(AsyncRetryPolicy, "get_backoff_time", lambda *_: 0.0)


@asynccontextmanager
async def access(answer: Callable[[], web.Response]) -> AsyncIterator[tuple[DiskAccess, StorageAccounts, list[str]]]:
    """Access to disks of a resource manager that responds like this; and the requests that it got."""
    requests: list[str] = []

    async def respond(request: web.BaseRequest) -> web.Response:
        requests.append(request.path)
        return answer()

    async with (
        serving(respond) as url,
        ResourceManager(Cloud(None, url, ""), Token()) as arm,
        StorageAccounts(arm) as accounts,
    ):
        yield DiskAccess(arm, accounts), accounts, requests


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"accessSAS": None},
        {"accessSAS": 7},
        {"accessSAS": ""},
        {"accessSAS": "https://disk.example?sig=secret"},
        {"accessSAS": "https://[disk/a/b?sig=secret"},
        {"accessSAS": "ftp://disk.example/a/b?sig=secret"},
        {"properties": {"output": {}}},
        {"properties": {"output": None}},
        {"properties": None},
    ],
    ids=str,
)
async def test_a_grant_without_a_usable_sas_url_is_an_error_of_the_disk(answer: dict[str, Any]) -> None:
    """On one line, without the SAS."""
    async with access(lambda: web.json_response(answer)) as (disks, accounts, _):
        with pytest.raises(CloudError) as caught:
            await disks.grant(DISK_FACTS)
        assert DISK not in accounts.lent
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("life", ["", "&se=2026-11-27T00%3A00%3A00Z", "&se=soon", "&si=policy"])
async def test_a_disk_is_read_with_its_sas_whatever_that_says_of_its_expiry(life: str) -> None:
    """Azure documents neither; only the service judges it."""
    url = f"https://md-x.blob.storage.azure.net/x/abcd?sv=2018-03-28&sr=b&sig=secret{life}"
    async with access(lambda: web.json_response({"accessSAS": url})) as (disks, accounts, _):
        blob = await disks.grant(DISK_FACTS)
        assert (await accounts.access(blob)).url == (await accounts.source_access(blob)).url == url


def failing(times: int, status: int) -> Callable[[], web.Response]:
    """A resource manager that fails so often."""
    count = 0

    def answer() -> web.Response:
        nonlocal count
        count += 1
        if count > times:
            return web.json_response({"accessSAS": "https://md-x.blob.storage.azure.net/x/abcd?sig=x"})
        return web.json_response({"error": {"code": "Told", "message": "by the test"}}, status=status)

    return answer


@pytest.mark.parametrize("status", [401, 408, 409, 429, 500, 502, 503])
async def test_a_revocation_that_fails_for_a_while_is_repeated(status: int) -> None:
    """azure-core repeats no POST for most of these."""
    async with access(failing(len(WAITS), status)) as (disks, _, requests):
        await disks.revoke(DISK)
    assert len(requests) == 1 + len(WAITS)


@pytest.mark.parametrize(("status", "attempts"), [(403, 1), (400, 1), (409, 1 + len(WAITS)), (503, 99)])
async def test_a_revocation_that_stays_rejected_ends_with_the_command_that_revokes(status: int, attempts: int) -> None:
    """A missing role is not repeated; other errors are, a few times."""
    async with access(failing(999, status)) as (disks, _, requests):
        with pytest.raises(ImageFactoryError, match=f"Azure returned {status} Told: by the test.*{COMMAND}"):
            await disks.revoke(DISK)
    assert len(requests) <= attempts


async def test_a_grant_that_fails_for_a_while_is_repeated_but_a_rejected_one_is_not() -> None:
    """409 means that the VM runs, or that another operation is in progress: the save of that VM fails."""
    async with access(failing(7, 503)) as (disks, accounts, _):
        assert (await disks.grant(DISK_FACTS)).account_id == DISK and DISK in accounts.lent
    async with access(failing(1, 409)) as (disks, _, requests):
        with pytest.raises(CloudError, match="409 Told"):
            await disks.grant(DISK_FACTS)
    assert len(requests) == 1
