"""Whether blobs of an account can be read, and written: the smallest request of each. Does not judge the answer."""

from __future__ import annotations

import uuid
from contextlib import suppress

from azure.core.exceptions import AzureError

from imagefactory.aio.surely import surely
from imagefactory.azure.core.answers import SDK_FAILURES, misfit
from imagefactory.azure.core.errors import CloudError, error_code, from_azure
from imagefactory.azure.core.refusals import ABSENT
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.openers import account_name
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.images.ranges import PAGE_BYTES
from imagefactory.observed.blobs import BlobRef

PROBE_PREFIX = "imagefactory-doctor-"


async def can_list(accounts: StorageAccounts, account_id: str, container: str) -> bool:
    """List one blob of a container; return whether the container exists. Raises `CloudError`."""
    subject = f"{account_name(account_id)}: container '{container}'"
    client = (await accounts.service(account_id)).get_container_client(container)
    try:
        async for _ in client.list_blob_names(results_per_page=1):
            break
    except AzureError as error:
        if error_code(error) in ABSENT:
            return False
        raise from_azure(error, subject, account=account_name(account_id)) from error
    except SDK_FAILURES:
        raise misfit(subject, f"GET {container}?comp=list", "it is not XML, or an element is missing") from None
    return True


async def write_and_delete(accounts: StorageAccounts, account_id: str, container: str) -> None:
    """Write a page blob of 512 bytes and delete it, also if canceled meanwhile. Raises `CloudError`.

    Creates the container if it is missing, as a copy does. The blob's name is new, so it is no other blob.
    """
    name = f"{PROBE_PREFIX}{uuid.uuid4()}"
    blob = BlobRef(account_id, f"{accounts.endpoint(account_id)}/{container}/{name}")
    pages = PageBlobs(accounts)

    async def probe() -> None:
        try:
            await pages.create(blob, PAGE_BYTES, {}, 0)
        except CloudError as refusal:
            if refusal.status:
                raise
            with suppress(CloudError):  # what matters is that there was no response to the write
                await delete()
            raise
        await delete()

    async def delete() -> None:
        if found := await pages.facts(blob):
            await pages.delete(blob, etag=found.etag)

    await surely(probe())
