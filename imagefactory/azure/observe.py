"""Everything that the plan needs from Azure, gathered side by side.

Owns the order of the calls: labs of every subscription and their images at once, then the factory's catalog. What
concerns one lab only is a `Diagnostic` beside the others; what concerns the factory itself raises: there is no plan
without it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from imagefactory.azure.core.clouds import cloud_of
from imagefactory.azure.core.credentials import credential
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.labs import lab_facts
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.factory_container import CONTAINER, read_catalog
from imagefactory.configuration.labs_file import LabKey
from imagefactory.configuration.loading import Configuration
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic
from imagefactory.errors import ImageFactoryError
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_labs import LabFacts


@dataclass(frozen=True)
class CloudFacts:
    """What stands in Azure before a run."""

    factory: LabFacts
    container_url: str
    """The factory's container of VHDs, without a trailing slash."""
    catalog: Catalog
    labs: Mapping[LabKey, LabFacts | Diagnostic]


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[tuple[ResourceManager, StorageAccounts]]:
    """The resource manager and the storage accounts of a stack. Raises `ImageFactoryError` where nobody can sign in."""
    cloud = cloud_of(settings)
    async with (
        ResourceManager(cloud, credential(cloud)) as arm,
        StorageAccounts(arm, settings.storage_auth) as accounts,
    ):
        yield arm, accounts


async def gather_facts(settings: Settings, configuration: Configuration | None) -> CloudFacts:
    """Read the factory and, with a configuration, its target labs.

    Raises `ImageFactoryError` where the factory lab or its storage cannot be read.
    """
    async with connect(settings) as (arm, accounts):
        return await read_facts(arm, accounts, settings, configuration)


async def read_facts(
    arm: ResourceManager, accounts: StorageAccounts, settings: Settings, configuration: Configuration | None
) -> CloudFacts:
    """The same, over connections that are open."""
    factory, labs = await read_labs(arm, settings, configuration)
    catalog = await read_catalog(accounts, factory)
    container_url = f"{arm.cloud.blob_service(factory.storage_account)}/{CONTAINER}"
    return CloudFacts(factory, container_url, catalog, labs)


async def read_labs(
    arm: ResourceManager, settings: Settings, configuration: Configuration | None
) -> tuple[LabFacts, Mapping[LabKey, LabFacts | Diagnostic]]:
    """The factory lab and its target labs. Raises `ImageFactoryError` where the factory lab cannot be read."""
    factory_key = LabKey(settings.factory.subscription_id.lower(), settings.factory.lab_name.lower())
    targets = {lab.key: lab.resource_group for lab in configuration.labs} if configuration else {}
    factory, labs = await lab_facts(arm, (factory_key, settings.factory.resource_group), targets)
    if isinstance(factory, Diagnostic):
        consequence = "nothing is planned and nothing is deleted"
        raise ImageFactoryError(f"factory: {replace(factory, consequence=consequence).message()}")
    return factory, labs
