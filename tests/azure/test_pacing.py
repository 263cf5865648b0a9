"""Requests that the resource manager throttles: few are in flight, all wait together, and none is lost.

A stand-in server counts what reaches it; the embedded cloud throttles as Azure does.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from imagefactory.azure.core import pacing
from imagefactory.azure.core.answers import Answer
from imagefactory.azure.core.clouds import Cloud, cloud_of
from imagefactory.azure.core.credentials import credential
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.labs import lab_facts
from imagefactory.configuration.labs_file import LabKey
from imagefactory.observed.standing_labs import LabFacts
from tests.azure.storage_world import Token
from tests.azure.test_observe import settings_of
from tests.azure.test_virtual_machines import SUBSCRIPTION
from tests.e2e.world import World
from tests.federation import serving

ONE, OTHER = f"/subscriptions/{SUBSCRIPTION}/a", "/subscriptions/22222222-2222-2222-2222-222222222222/a"


@dataclass
class Crowd:
    """A resource manager that counts its requests: each waits until the test lets it go, then gets a status."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    status: Callable[[web.BaseRequest], int] = lambda _: 200
    retry_after: str | None = "0"
    seen: list[str] = field(default_factory=list)
    in_flight: int = 0
    most: int = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Respond when the test says so."""
        self.seen.append(f"{request.method} {request.path}")
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        if self.in_flight == pacing.IN_FLIGHT:
            self.arrived.set()
        await self.go.wait()
        self.in_flight -= 1
        status = self.status(request)
        headers = {"Retry-After": self.retry_after} if status == 429 and self.retry_after is not None else {}
        return web.json_response({}, status=status, headers=headers)


@asynccontextmanager
async def crowded(crowd: Crowd) -> AsyncIterator[ResourceManager]:
    """Open a client of such a resource manager."""
    async with serving(crowd.answer) as url, ResourceManager(Cloud(None, url, ""), Token()) as arm:
        yield arm


def refusing(count: int) -> Callable[[web.BaseRequest], int]:
    """Reject the first `count` requests."""
    left = iter(range(count))
    return lambda _: 429 if next(left, None) is not None else 200


async def test_few_requests_of_a_subscription_and_kind_are_in_flight() -> None:
    """The others wait for their turn."""
    crowd = Crowd()
    async with crowded(crowd) as arm:
        reads = [asyncio.ensure_future(arm.get(ONE, "1", Answer, subject="it")) for _ in range(100)]
        await crowd.arrived.wait()
        crowd.go.set()
        await asyncio.gather(*reads)
    assert (len(crowd.seen), crowd.most) == (100, pacing.IN_FLIGHT)


async def test_while_one_request_waits_no_other_of_its_kind_is_sent() -> None:
    """Only those in flight are rejected, once each. Azure would reject all others, too."""
    crowd = Crowd(status=refusing(pacing.IN_FLIGHT), retry_after="1")
    async with crowded(crowd) as arm:
        reads = [asyncio.ensure_future(arm.get(f"{ONE}{n}", "1", Answer, subject="it")) for n in range(100)]
        await crowd.arrived.wait()
        crowd.go.set()
        await asyncio.gather(*reads)
    again = Counter(crowd.seen) - Counter(set(crowd.seen))
    assert again == Counter(crowd.seen[: pacing.IN_FLIGHT]) and len(set(crowd.seen)) == 100


async def test_other_kinds_and_subscriptions_do_not_wait() -> None:
    """Each has its own bucket in Azure."""
    crowd = Crowd(status=lambda request: 429 if request.method == "GET" and request.path == ONE else 200)
    crowd.go.set()
    crowd.retry_after = "60"
    async with crowded(crowd) as arm:
        waiting = asyncio.ensure_future(arm.get(ONE, "1", Answer, subject="it"))
        await arm.post(ONE, "1", Answer, subject="it")
        await arm.run("DELETE", ONE, "1", Answer, subject="it")
        await arm.get(OTHER, "1", Answer, subject="it")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


@pytest.mark.parametrize("retry_after", ["0", None, "soon", "Fri, 27 Nov 2020 10:00:00 GMT"])
async def test_a_throttled_request_is_sent_again_however_often(
    retry_after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a POST, for a rejected request was not processed; and if Azure does not say when."""
    monkeypatch.setattr(pacing, "UNTOLD_SECONDS", 0.0)
    crowd = Crowd(status=refusing(20), retry_after=retry_after)
    crowd.go.set()
    async with crowded(crowd) as arm:
        await arm.post(ONE, "1", Answer, subject="it")
    assert crowd.seen == [f"POST {ONE}"] * 21


async def test_a_request_that_stays_throttled_is_an_error() -> None:
    """After some minutes; at once if Azure asks for more than that."""
    crowd = Crowd(status=lambda _: 429, retry_after=str(int(pacing.LONGEST_SECONDS) + 1))
    crowd.go.set()
    async with crowded(crowd) as arm:
        with pytest.raises(CloudError, match=r"^it: Azure returned 429 .* Run again later"):
            await arm.get(ONE, "1", Answer, subject="it")
    assert len(crowd.seen) == 1


@pytest.mark.parametrize(("size", "per_second"), [(250, 25), (50, 50)], ids=["Azure's", "used by others"])
async def test_300_labs_are_read_within_azures_limits(size: int, per_second: int, world: World) -> None:
    """The cloud throttles as Azure does, and no lab and no image is missing; also if others have used up the bucket."""
    names = [f"lab{n:03}" for n in range(300)]
    group, region = "labs", "westeurope"
    labs = [
        {"name": name, "resourceGroup": group, "region": region, "storageAccount": None, "images": [{"name": name}]}
        for name in names
    ]
    subscription = str(uuid.uuid4())
    world.cloud.seed({"subscriptions": [{"subscriptionId": subscription, "labs": labs}]})
    world.cloud.set_limits({"subscriptionReads": {"size": size, "perSecond": per_second}})
    keys = {name: LabKey(subscription, name) for name in names}
    cloud = cloud_of(settings_of(world))
    async with ResourceManager(cloud, credential(cloud)) as arm:
        factory, found = await lab_facts(arm, keys["lab000"], keys.values())
    assert isinstance(factory, LabFacts)
    for name, key in keys.items():
        facts = found[key]
        assert isinstance(facts, LabFacts) and [image.name for image in facts.images] == [name]
    assert any(call["status"] == 429 for call in world.cloud.calls())
