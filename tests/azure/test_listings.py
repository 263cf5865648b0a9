"""Listings of the storage service out of shape: the same blobs, or an error that names the request.

A stand-in server returns a valid listing of two pages, one of them bent.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.blob_lists import list_blobs
from imagefactory.azure.storage.factory_container import CONTAINER, read_catalog
from imagefactory.observed.blobs import BlobRef
from imagefactory.observed.standing_labs import LabFacts
from tests.azure.entered import entered
from tests.azure.mutations import BODIES
from tests.azure.storage_world import Token
from tests.azure.test_labs import ACCOUNT
from tests.azure.test_virtual_machines import LAB
from tests.federation import serving

FACTORY = LabFacts(LAB.id, LAB.subscription_id, LAB.resource_group, LAB.name, LAB.region, ACCOUNT)
OPTIONAL = {"Metadata", "NextMarker", "Marker", "MaxResults", "Prefix", "Owner", "CopyId"}
"""Elements without which a listing is another valid one."""


def page(names: tuple[str, ...], marker: str = "") -> str:
    """A page of a listing, as the service documents it ("List Blobs")."""
    blobs = "".join(
        f"<Blob><Name>{name}</Name><Properties><Creation-Time>Fri, 27 Nov 2026 10:00:00 GMT</Creation-Time>"
        "<Last-Modified>Fri, 27 Nov 2026 10:00:00 GMT</Last-Modified><Etag>0x8D</Etag>"
        "<Content-Length>1024</Content-Length><BlobType>PageBlob</BlobType><LeaseStatus>unlocked</LeaseStatus>"
        "<LeaseState>available</LeaseState></Properties><Metadata><imagename>x</imagename></Metadata></Blob>"
        for name in names
    )
    return (
        f'<EnumerationResults ServiceEndpoint="http://x/" ContainerName="{CONTAINER}"><MaxResults>2</MaxResults>'
        f"<Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
    )


PAGES = [page(("a.vhd", "b.vhd"), "two"), page(("c.vhd",))]


@dataclass
class StandIn:
    """A storage account with these pages, and connections to it."""

    loop: asyncio.AbstractEventLoop
    pages: list[bytes]
    kind: str = "application/xml"
    url: str = ""
    accounts: Any = None

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Return the page of a marker."""
        return web.Response(body=self.pages[1 if "marker=two" in request.raw_path else 0], content_type=self.kind)

    def read(self, reader: str) -> Any:
        """Return the names and facts that a reader returns, or its error."""

        async def call() -> Any:
            try:
                if reader == "blobs":
                    return await list_blobs(self.accounts, ACCOUNT, CONTAINER)
                return await read_catalog(self.accounts, FACTORY)
            except CloudError as refusal:
                return refusal

        return self.loop.run_until_complete(asyncio.wait_for(call(), 20))


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    """One server for all examples."""
    loop = asyncio.new_event_loop()
    found = StandIn(loop, [])

    @asynccontextmanager
    async def connected() -> AsyncIterator[None]:
        async with (
            serving(found.answer) as found.url,
            ResourceManager(Cloud(None, found.url, f"{found.url}/{{account}}"), Token()) as arm,
            StorageAccounts(arm) as found.accounts,
        ):
            yield

    with entered(loop, connected()):
        yield found


@st.composite
def bent_pages(draw: st.DrawFn, text: str) -> bytes:
    """A page with one or two elements dropped, emptied, filled with nonsense or repeated, cut, or another body."""
    how = draw(st.integers(0, 9))
    if how == 0:
        return draw(st.sampled_from(BODIES))
    if how == 1:
        return text.encode()[: draw(st.integers(0, len(text) - 1))]
    root = ElementTree.fromstring(text)  # noqa: S314 - the test's own document
    owners = [owner for owner in root.iter() if owner.tag not in {"Blobs", "Metadata"} and len(owner)]
    for _ in range(draw(st.integers(1, 2))):
        owner = draw(st.sampled_from(owners))
        found = [child for child in owner if child.tag not in OPTIONAL]
        if not found:
            continue
        child = draw(st.sampled_from(found))
        match draw(st.sampled_from(["drop", "empty", "nonsense", "repeat", "rename"])):
            case "drop":
                owner.remove(child)
            case "empty" if child.tag != "Blobs":
                child.clear()
            case "nonsense" if not len(child) and child.tag != "Name":
                child.text = draw(st.sampled_from(["x", "-1.5", "<", "99999999999999999999999"]))
            case "repeat" if child.tag not in {"Name", "Blobs"}:
                owner.append(copy.deepcopy(child))
            case _:
                child.tag = f"X{child.tag}"
    return ElementTree.tostring(root)


@pytest.mark.parametrize("reader", ["blobs", "catalog"])
@settings(max_examples=60)
@given(data=st.data())
def test_a_listing_out_of_shape_is_the_same_blobs_or_an_error_that_names_the_request(
    reader: str, stand_in: StandIn, data: st.DataObject
) -> None:
    """Never another exception, never fewer blobs."""
    stand_in.pages, stand_in.kind = [each.encode() for each in PAGES], "application/xml"
    valid = stand_in.read(reader)
    assert not isinstance(valid, CloudError)
    number = data.draw(st.integers(0, 1))
    stand_in.pages[number] = data.draw(bent_pages(PAGES[number]))
    stand_in.kind = data.draw(st.sampled_from(["application/xml", "text/html", "application/json"]))
    found = stand_in.read(reader)
    if isinstance(found, CloudError):
        assert f"the response to GET {CONTAINER}?comp=list is not valid" in str(found)
    else:
        assert names(found) == names(valid)


def names(found: Any) -> list[str]:
    """The names of listed blobs, or of the VHDs in a catalog, which says why each is no image."""
    if isinstance(found, list):
        return sorted(f"{blob.name} {blob.length} {blob.last_modified} {blob.held}" for blob in found)
    return sorted(str(each) for each in (*found.images, *found.left_out, *found.broken))


def test_a_listing_that_repeats_its_marker_is_an_error(stand_in: StandIn) -> None:
    """Not an endless loop."""
    stand_in.pages, stand_in.kind = [PAGES[0].encode(), page(("c.vhd",), "two").encode()], "application/xml"
    assert "its NextMarker is that of a page before it" in str(stand_in.read("blobs"))


@pytest.mark.parametrize(
    "body", [b"<html/>", b"<UserDelegationKey><Value>a2V5</Value></UserDelegationKey>", b"[]", b""]
)
def test_a_user_delegation_key_out_of_shape_is_an_error_that_names_the_request(body: bytes, stand_in: StandIn) -> None:
    """Not a traceback, and not a SAS that Azure rejects."""
    stand_in.pages, stand_in.kind = [body], "application/xml"
    blob = BlobRef(ACCOUNT, f"{stand_in.url}/store1/{CONTAINER}/a.vhd")
    with pytest.raises(CloudError, match=r"storage account 'store1': .* POST /\?comp=userdelegationkey is not valid"):
        stand_in.loop.run_until_complete(stand_in.accounts.readable_url(blob))
