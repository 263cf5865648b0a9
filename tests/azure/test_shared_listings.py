"""Copies that begin together ask once for the images of their lab, and take only an absence from the response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from imagefactory.azure import shared_listings
from imagefactory.azure.shared_listings import RECENT_SECONDS, SharedListings
from imagefactory.azure.storage.accounts import StorageAccounts
from tests.azure.test_resource_manager import two_servers

LAB = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g/providers/Microsoft.DevTestLab/labs/web"
LISTING = f"GET {LAB}/customimages?api-version=2018-09-15".lower()


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock of the listings."""
    clock = Clock()
    monkeypatch.setattr(shared_listings, "monotonic", lambda: clock.now)
    yield clock


class Lab:
    """A lab with these images; None: it cannot be listed."""

    def __init__(self, *names: str) -> None:
        self.names: list[str] | None = list(names)
        self.requests: list[str] = []

    def answer(self, *_: object) -> web.Response:
        """List the images."""
        if self.names is None:
            return web.json_response({"error": {"code": "AuthorizationFailed"}}, status=403)
        return web.json_response({"value": [self._image(name) for name in self.names]})

    @staticmethod
    def _image(name: str) -> dict[str, object]:
        return {"id": f"{LAB}/customimages/{name}", "name": name, "properties": {"provisioningState": "Creating"}}

    @asynccontextmanager
    async def listings(self) -> AsyncIterator[SharedListings]:
        """Listings that request this lab."""
        answers = dict.fromkeys((f"{LAB}/customimages", f"{LAB}/customimages".lower()), self.answer)
        async with two_servers(answers) as servers, StorageAccounts(servers.arm) as accounts:
            self.requests = servers.home
            yield SharedListings(servers.arm, accounts)


async def lacking(listings: SharedListings, names: Iterable[str]) -> set[str]:
    """Ask for images of the lab at the same time; return those that it surely lacks."""
    names = list(names)
    found = await asyncio.gather(*(listings.lacks(f"{LAB}/customImages/{name}") for name in names))
    return {name for name, lacks in zip(names, found, strict=True) if lacks}


async def test_all_but_the_first_of_many_questions_share_a_listing(clock: Clock) -> None:
    """The first is not worth one. What is listed, in any state, is requested by itself."""
    lab = Lab("made")
    async with lab.listings() as listings:
        assert await lacking(listings, ("a", "b", "Made", "c")) == {"b", "c"}
        clock.now += RECENT_SECONDS
        assert await lacking(listings, ("d",)) == {"d"}
        assert [each.lower() for each in lab.requests] == [LISTING]


async def test_an_image_that_is_asked_for_again_is_looked_for_again(clock: Clock) -> None:
    """For what this process did meanwhile may have made it."""
    lab = Lab()
    async with lab.listings() as listings:
        assert await lacking(listings, ("a", "b", "c")) == {"b", "c"}
        lab.names = ["b"]
        assert await lacking(listings, ("b", "c")) == {"c"}
        assert len(lab.requests) == 2


async def test_no_listing_that_began_earlier_answers(clock: Clock) -> None:
    """Nor is one made for questions that are far apart."""
    lab = Lab()
    async with lab.listings() as listings:
        assert await lacking(listings, ("a", "b")) == {"b"}
        clock.now += RECENT_SECONDS / 2
        assert await lacking(listings, ("c",)) == {"c"}
        lab.names = ["d"]
        clock.now += RECENT_SECONDS / 2 + 1
        assert not await lacking(listings, ("d",))
        assert len(lab.requests) == 2
        clock.now += RECENT_SECONDS + 1
        assert not await lacking(listings, ("e",))
        assert len(lab.requests) == 2


async def test_a_lab_that_cannot_be_listed_tells_nothing(clock: Clock) -> None:
    """The caller then requests each image, and gets that response; the next question lists the lab again."""
    lab = Lab()
    lab.names = None
    async with lab.listings() as listings:
        assert not await lacking(listings, ("a", "b", "c"))
        lab.names = []
        assert await lacking(listings, ("d",)) == {"d"}
