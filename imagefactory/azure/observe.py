"""The facts in Azure that a run starts from: the target labs with their images, and the factory with its catalog.

Lists the labs of all subscriptions and their images concurrently, then the factory's container. A target lab that
cannot be read is returned as a `Diagnostic`; a factory that cannot be read is a `CloudError`, because nothing can be
planned without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from imagefactory.azure.connect import connect
from imagefactory.azure.core.errors import CloudError, consequence
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.labs import find_image, lab_facts
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.factory_container import CONTAINER, read_catalog
from imagefactory.configuration.labs_file import LabKey
from imagefactory.configuration.loading import Configuration
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_labs import LabFacts

POLL_SECONDS = 2.0
"""Between two requests for the state of a custom image."""


@dataclass(frozen=True)
class CloudFacts:
    """What exists in Azure before a run."""

    factory: LabFacts
    container_url: str
    """The factory's container of VHDs, without a trailing slash."""
    catalog: Catalog
    labs: Mapping[LabKey, LabFacts | Diagnostic]


async def gather_facts(settings: Settings, configuration: Configuration | None) -> CloudFacts:
    """Connect and read what a plan needs: the factory and, with a configuration, its target labs.

    Raises `ImageFactoryError` if the factory lab or its storage cannot be read.
    """
    async with connect(settings) as (arm, accounts):
        with consequence("nothing is planned and nothing is deleted"):
            return await read_facts(arm, accounts, settings, configuration)


async def read_facts(
    arm: ResourceManager, accounts: StorageAccounts, settings: Settings, configuration: Configuration | None
) -> CloudFacts:
    """Read the same by open connections.

    Raises `CloudError` if the factory lab or its storage cannot be read.
    """
    factory, labs = await read_labs(arm, settings, configuration)
    catalog = await read_catalog(accounts, factory)
    container_url = f"{arm.cloud.blob_service(factory.storage_account)}/{CONTAINER}"
    return CloudFacts(factory, container_url, catalog, labs)


async def wait_for_operation(settings: Settings, image_id: str) -> None:
    """Wait until Azure has no operation in progress on a custom image, by ARM id. Raises `ImageFactoryError`."""
    async with connect(settings) as (arm, _):
        while True:
            image = await find_image(arm, image_id)
            if image is None or not image.in_progress:
                return
            await asyncio.sleep(POLL_SECONDS)


async def read_labs(
    arm: ResourceManager, settings: Settings, configuration: Configuration | None
) -> tuple[LabFacts, Mapping[LabKey, LabFacts | Diagnostic]]:
    """Read the factory lab and its target labs. Raises `CloudError` if the factory lab cannot be read."""
    factory_key = LabKey(settings.factory.subscription_id.lower(), settings.factory.lab_name.lower())
    targets = {lab.key: lab.resource_group for lab in configuration.labs} if configuration else {}
    factory, labs = await lab_facts(arm, (factory_key, settings.factory.resource_group), targets)
    if isinstance(factory, Diagnostic):
        raise CloudError(replace(factory, subject=f"factory: {factory.subject}"))
    return factory, labs
