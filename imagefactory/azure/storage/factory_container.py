"""The factory's container: one listing, and those companions whose facts are not in the metadata of their VHD.

Reads the factory into the values of `imagefactory.images.catalog`, which checks them. Skips a ranges manifest without
VHD: it takes a few KiB and does no harm.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import unquote

from azure.core.exceptions import AzureError
from azure.storage.blob.aio import ContainerClient

from imagefactory.azure.core.answers import misfit
from imagefactory.azure.core.errors import CloudError, cloud_error, error_code, from_azure
from imagefactory.azure.core.refusals import ABSENT
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.blob_lists import list_blobs, metadata_of
from imagefactory.azure.storage.listings import ListedBlob, listed
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.catalog import Catalog, build_catalog, companions_to_read
from imagefactory.images.companions import VhdBlob
from imagefactory.images.ranges_manifest import SUFFIX, manifest_name
from imagefactory.observed.standing_labs import LabFacts

CONTAINER = "imagefactoryvhds"
"""In the factory's storage account; named by the older scripts (SnapImagesFromVMs.ps1)."""

_READS_AT_ONCE = 32
_LARGEST_COMPANION = 1024 * 1024


async def read_catalog(accounts: StorageAccounts, factory: LabFacts) -> Catalog:
    """Return what the factory contains; an empty catalog if the container does not exist. Raises `CloudError`.

    A companion that cannot be downloaded is a diagnostic in the catalog and does not stop the others.
    """
    subject = f"factory lab '{factory.name}'"
    if factory.storage_account_id is None:
        raise cloud_error(subject, "has no storage account")
    service = await accounts.service(factory.storage_account_id)
    container = service.get_container_client(CONTAINER)
    vhds: list[VhdBlob] = []
    documents: dict[str, int] = {}
    manifests: dict[str, ListedBlob] = {}
    try:
        async for blob in listed(container, f"{subject}, container '{CONTAINER}'"):
            if blob.name.lower().endswith(".vhd"):
                vhds.append(_vhd(blob))
            elif blob.name.lower().endswith(".json"):
                documents[blob.name] = blob.size
            elif blob.name.endswith(SUFFIX):
                manifests[blob.name] = blob
    except AzureError as error:
        if error_code(error) in ABSENT:
            return build_catalog((), {})
        place = f"{subject}, container '{CONTAINER}'"
        raise from_azure(error, place, account=factory.storage_account) from error
    vhds = [_with_manifest(vhd, manifests.get(manifest_name(vhd.name))) for vhd in vhds]
    gate = asyncio.Semaphore(_READS_AT_ONCE)
    # Azure rejects a range of an empty blob; build_catalog reports what was not read.
    names = [name for name in companions_to_read(vhds, documents) if documents[name]]
    contents = await asyncio.gather(*(_read(container, name, documents[name], gate) for name in names))
    return build_catalog(vhds, dict(zip(names, contents, strict=True)), documents)


async def saved_names(accounts: StorageAccounts, account_id: str) -> frozenset[str]:
    """Return the image names in the metadata of VHDs, as this project writes them: one listing. Raises `CloudError`."""
    blobs = await list_blobs(accounts, account_id, CONTAINER)
    return frozenset(unquote(blob.metadata["imagename"]) for blob in blobs if "imagename" in blob.metadata)


async def _read(container: ContainerClient, name: str, size: int, gate: asyncio.Semaphore) -> bytes | Diagnostic:
    subject, consequence = f"companion '{name}'", "its image is not distributed to more labs, and labs keep theirs"
    if size > _LARGEST_COMPANION:
        fact = f"has {size} bytes, more than the {_LARGEST_COMPANION} of a companion"
        return error(f"companion {name}", fact, consequence, "Fix it, or delete it together with its VHD")
    async with gate:
        try:
            stream = await container.download_blob(name, offset=0, length=_LARGEST_COMPANION)
            return await stream.readall()
        except AzureError as problem:
            return from_azure(problem, subject, consequence).diagnostic
        except CloudError as problem:
            return problem.diagnostic
        except ValueError:  # how the SDK fails if Content-Range is missing or invalid
            return misfit(subject, f"GET {CONTAINER}/{name}", "its range is invalid").so(consequence).diagnostic


def _with_manifest(vhd: VhdBlob, manifest: ListedBlob | None) -> VhdBlob:
    """Return the VHD with its manifest's metadata; an older manifest is that of a VHD that was replaced."""
    if manifest is None or manifest.last_modified < vhd.created:
        return vhd
    return replace(vhd, manifest=metadata_of(manifest))


def _vhd(blob: ListedBlob) -> VhdBlob:
    return VhdBlob(
        name=blob.name,
        length=blob.size,
        created=blob.creation_time,
        last_modified=blob.last_modified,
        metadata=metadata_of(blob),
        blob_type=blob.blob_type.value,
        copy_status=blob.written_by.status,
    )
