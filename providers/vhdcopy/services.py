"""The provider's connections to Azure: opened by the first operation that needs them, shared by all.

A preview never opens one, and does not load the SDK.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagefactory.azure.core.clouds import Cloud
    from imagefactory.azure.core.resource_manager import ResourceManager
    from imagefactory.azure.storage.accounts import StorageAccounts
    from imagefactory.azure.storage.page_blobs import PageBlobs
    from imagefactory.configuration.stack_settings import CopyOptions
    from imagefactory.copying.copier import Copier
    from imagefactory.copying.staging import Staging
    from imagefactory.copying.totals import Totals


@dataclass(frozen=True)
class Services:
    """The connections that resources use."""

    arm: ResourceManager
    blobs: PageBlobs
    staging: Staging


class Connections:
    """Opens `Services` once, for all operations."""

    def __init__(self, cloud: Cloud, options: CopyOptions, totals: Totals) -> None:
        self._cloud, self._options, self._totals = cloud, options, totals
        self._stack = AsyncExitStack()
        self._opening: asyncio.Lock = asyncio.Lock()
        self._services: Services | None = None

    async def services(self) -> Services:
        """Return the open connections. Raises `ImageFactoryError` if no credential is available."""
        async with self._opening:
            if self._services is None:
                self._services = await self._open()
        return self._services

    async def close(self) -> None:
        """Close the open connections."""
        await self._stack.aclose()

    async def _open(self) -> Services:
        from imagefactory.azure.core.credentials import credential
        from imagefactory.azure.core.resource_manager import ResourceManager
        from imagefactory.azure.storage.accounts import StorageAccounts
        from imagefactory.azure.storage.page_blobs import PageBlobs
        from imagefactory.copying.staging import Staging

        arm = await self._stack.enter_async_context(ResourceManager(self._cloud, credential(self._cloud)))
        options = self._options
        opened = StorageAccounts(arm, options.storage_auth, options.storage_api_version)
        accounts = await self._stack.enter_async_context(opened)
        blobs = PageBlobs(accounts)
        return Services(arm, blobs, Staging(blobs, await self._copier(accounts, blobs)))

    async def _copier(self, accounts: StorageAccounts, blobs: PageBlobs) -> Copier:
        from imagefactory.azure.storage.manifests import Manifests
        from imagefactory.azure.storage.page_writer import PageWriter
        from imagefactory.copying.pacing import Pacer
        from imagefactory.copying.ranged_copy import RangedCopier
        from imagefactory.copying.service_copy import ServiceCopier

        if self._options.method == "service":
            return ServiceCopier(blobs)
        pacer = Pacer(self._options.max_in_flight, self._options.max_mbps)
        writer = await self._stack.enter_async_context(PageWriter(accounts, pacer.in_flight))
        return RangedCopier(blobs, writer, Manifests(blobs), pacer, self._totals)
