"""Ranges manifests beside the factory's VHDs, against the embedded cloud."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.storage.manifests import Manifests
from imagefactory.images.ranges import Range
from imagefactory.images.ranges_manifest import Manifest, manifest_bytes, manifest_name
from tests.azure.storage_world import Auth, StorageWorld

DIGESTS = {Range(0, 512): "AAAAAAAAAAA=", Range(4096, 1024): "AQAAAAAAAAA="}


def manifest_of(storage: StorageWorld) -> Manifest:
    facts = storage.client(storage.source).get_blob_properties()
    return Manifest(storage.vhd, facts.size, facts.creation_time, DIGESTS)


def leave(storage: StorageWorld, content: bytes) -> None:
    """Write this content where the manifest is stored."""
    place = storage.beside(storage.source, manifest_name(storage.vhd))
    storage.client(place).upload_blob(content, overwrite=True)


async def read(storage: StorageWorld, auth: Auth = "aad") -> tuple[Manifest | None, str]:
    made = manifest_of(storage)
    async with storage.connect(auth) as connected:
        found = await Manifests(connected.blobs).read(storage.source, made.length, made.created)
    return found.manifest, found.warning


async def test_a_manifest_is_written_beside_its_vhd_and_read_back(storage: StorageWorld, auth: Auth) -> None:
    """Its metadata contain its digest and the allocated bytes, so that one listing returns them."""
    assert await read(storage, auth) == (None, "")
    made = manifest_of(storage)
    async with storage.connect(auth) as connected:
        assert await Manifests(connected.blobs).write(storage.source, made) == ""
    assert await read(storage, auth) == (made, "")
    place = storage.client(storage.beside(storage.source, manifest_name(storage.vhd)))
    assert place.get_blob_properties().metadata == {"digest": made.digest, "allocated": "1536"}


async def test_an_existing_manifest_is_kept(storage: StorageWorld) -> None:
    """Another run that wrote it at the same time wrote the same, so there is no warning."""
    leave(storage, b"existing")
    async with storage.connect() as connected:
        assert await Manifests(connected.blobs).write(storage.source, manifest_of(storage)) == ""
    assert (await read(storage))[0] is None


@pytest.mark.parametrize("content", [b"", b"junk", manifest_bytes(Manifest("a.vhd", 512, datetime.min, {}))[:-9]])
async def test_a_broken_manifest_is_not_used_and_a_warning_names_it(storage: StorageWorld, content: bytes) -> None:
    """It is kept."""
    leave(storage, content)
    manifest, warning = await read(storage)
    assert manifest is None and manifest_name(storage.vhd) in warning and "not compared" in warning


async def test_the_manifest_of_a_replaced_vhd_is_not_used_and_is_a_warning(storage: StorageWorld) -> None:
    """Its length or creation time differs."""
    made = manifest_of(storage)
    for other in (
        Manifest(made.vhd, made.length + 512, made.created, DIGESTS),
        Manifest(made.vhd, made.length, made.created - timedelta(days=1), DIGESTS),
    ):
        leave(storage, manifest_bytes(other))
        manifest, warning = await read(storage)
        assert manifest is None and "was replaced" in warning


async def test_a_manifest_that_cannot_be_written_is_a_warning_and_not_an_error(storage: StorageWorld) -> None:
    """An identity that can only read the factory's account can still copy."""
    refusal = {"status": 403, "code": "AuthorizationPermissionMismatch"}
    storage.refuse(refusal, path=manifest_name(storage.vhd), method="PUT")
    async with storage.connect() as connected:
        warning = await Manifests(connected.blobs).write(storage.source, manifest_of(storage))
    assert manifest_name(storage.vhd) in warning and "AuthorizationPermissionMismatch" in warning


async def test_a_manifest_that_cannot_be_read_is_an_error(storage: StorageWorld) -> None:
    """Otherwise the copy would silently not be verified."""
    storage.refuse({"status": 403, "code": "AuthorizationFailure"}, path=manifest_name(storage.vhd))
    with pytest.raises(CloudError, match="AuthorizationFailure"):
        await read(storage)
