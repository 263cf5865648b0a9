"""The connections of one run: the resource manager and the storage accounts of a stack's cloud."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imagefactory.azure.core.clouds import cloud_of
from imagefactory.azure.core.credentials import credential
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.configuration.stack_settings import Settings


@asynccontextmanager
async def connect(
    settings: Settings, limit: float | None = None
) -> AsyncIterator[tuple[ResourceManager, StorageAccounts]]:
    """Open the resource manager and the storage accounts of a stack. Raises `CredentialError`.

    `limit` is that of `ResourceManager`.
    """
    cloud = cloud_of(settings)
    async with (
        ResourceManager(cloud, credential(cloud), limit) as arm,
        StorageAccounts(arm, settings.storage_auth, settings.storage_api_version) as accounts,
    ):
        yield arm, accounts
