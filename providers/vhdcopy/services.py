"""The provider's connections to Azure: opened by the first operation that needs them, shared by all.

A preview never opens one, and does not load the SDK.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagefactory.errors import ConfigurationError
from imagefactory.telemetry.chains import Chains
from imagefactory.telemetry.copy_events import CopyObserver
from imagefactory.telemetry.event_log import VARIABLE, EventLog
from imagefactory.telemetry.traces import Telemetry
from imagefactory.telemetry.traces import telemetry as start

if TYPE_CHECKING:
    from imagefactory.azure.core.clouds import Cloud
    from imagefactory.azure.core.resource_manager import ResourceManager
    from imagefactory.azure.shared_listings import SharedListings
    from imagefactory.azure.storage.accounts import StorageAccounts
    from imagefactory.azure.storage.page_blobs import PageBlobs
    from imagefactory.configuration.copy_settings import CopyOptions
    from imagefactory.copying.copier import Copier
    from imagefactory.copying.staging import Staging
    from imagefactory.copying.totals import Totals


@dataclass(frozen=True)
class Services:
    """The connections that resources use."""

    arm: ResourceManager
    listings: SharedListings
    staging: Staging
    chains: Chains


class Connections:
    """Opens `Services` once, for all operations."""

    def __init__(self, cloud: Cloud, options: CopyOptions, totals: Totals, warn: Callable[[str], object]) -> None:
        self._cloud, self._options, self._totals, self._warn = cloud, options, totals, warn
        self._stack = AsyncExitStack()
        self._opening: asyncio.Lock = asyncio.Lock()
        self._services: Services | None = None

    async def services(self) -> Services:
        """Return the open connections. Raises `ImageFactoryError` if no credential is available."""
        async with self._opening:
            if self._services is None:
                self._services = await self._open()
        return self._services

    def forget(self) -> None:
        """Read again what a later refresh of a resource asks for: an operation starts, or something was changed."""
        if self._services:
            self._services.listings.forget()

    async def finish(self) -> str:
        """Send the telemetry of all that has ended; return the phases of this run on one line, empty if it had none."""
        if self._services is None:
            return ""
        self._services.chains.close()
        await asyncio.to_thread(self._services.chains.telemetry.flush)
        return self._services.chains.phases.text()

    async def close(self) -> None:
        """Close the open connections."""
        await self._stack.aclose()

    async def _open(self) -> Services:
        from imagefactory.azure.core.credentials import credential
        from imagefactory.azure.core.resource_manager import ResourceManager
        from imagefactory.azure.shared_listings import SharedListings
        from imagefactory.azure.storage.accounts import StorageAccounts
        from imagefactory.azure.storage.page_blobs import PageBlobs
        from imagefactory.copying.staging import Staging
        from imagefactory.copying.watched import WatchedCopier

        telemetry, _ = start("imagefactory plugin")  # the program warns of what cannot be sent
        self._stack.push_async_callback(asyncio.to_thread, telemetry.close)
        arm = await self._stack.enter_async_context(ResourceManager(self._cloud, credential(self._cloud)))
        options = self._options
        opened = StorageAccounts(arm, options.storage_auth, options.storage_api_version)
        accounts = await self._stack.enter_async_context(opened)
        blobs = PageBlobs(accounts)
        copier = WatchedCopier(await self._copier(accounts, blobs), self._observers(telemetry))
        return Services(arm, SharedListings(arm, accounts), Staging(blobs, copier), Chains(telemetry))

    def _observers(self, telemetry: Telemetry) -> list[CopyObserver]:
        """Return what receives the events of copies; a file that cannot be opened is a warning."""
        observers: list[CopyObserver] = [telemetry.copied]
        if path := os.environ.get(VARIABLE):
            try:
                log = EventLog(path, self._warn)
            except ConfigurationError as problem:
                self._warn(problem.diagnostics[0].message())
            else:
                self._stack.callback(log.close)
                observers.append(log)
        return observers

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
        return RangedCopier(
            blobs, writer, Manifests(blobs), pacer, self._totals, verify_first=self._options.verify_first
        )
