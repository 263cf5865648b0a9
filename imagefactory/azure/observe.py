"""The facts in Azure that a run starts from: the target labs with their images, and the factory with its catalog.

Lists the labs of all subscriptions and their images concurrently, then the factory's container, then reads a few bytes
of the VHDs that labs are yet to get. A target lab that cannot be read is returned as a `Diagnostic`; a factory that
cannot be read is a `CloudError`, because nothing can be planned without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from imagefactory.azure.compute_galleries import gallery_facts, is_in_progress
from imagefactory.azure.connect import connect
from imagefactory.azure.core.errors import CloudError, consequence
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.lab_galleries import with_galleries
from imagefactory.azure.lab_machines import with_machines
from imagefactory.azure.lab_storage import learn_endpoints, with_accounts
from imagefactory.azure.labs import lab_facts, settled_image, unlisted_labs
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.factory_container import CONTAINER, read_catalog
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.azure.storage.vhd_checks import check_vhds
from imagefactory.configuration.labs_file import LabKey
from imagefactory.configuration.loading import Configuration
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.blobs import BlobRef
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.labs.vhd_checks import vhds_to_check
from imagefactory.telemetry.phases import phase

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
    gallery: GalleryFacts | Diagnostic | None = None
    """That of the settings, or why it cannot be read; None: they name none."""
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc), compare=False)
    """When they were read: one time for all rules of a run."""
    unlisted: tuple[LabFacts | Diagnostic, ...] = ()
    """Labs that labs.json does not list, with their images, or why they cannot be read; empty unless requested."""


async def gather_facts(
    settings: Settings, configuration: Configuration | None, further: Iterable[str] | None = None
) -> CloudFacts:
    """Connect and read what a plan needs.

    Unless `further` is None, also read the labs that labs.json does not list, in its subscriptions and these further
    ones. Raises `ImageFactoryError` if the factory lab or its storage cannot be read.
    """
    async with connect(settings) as (arm, accounts):
        with consequence("nothing is planned and nothing is deleted"):
            facts = read_checked_facts(arm, accounts, settings, configuration)
            if further is None:
                return await facts
            labs = (*configuration.labs, *configuration.others) if configuration else ()
            listed = frozenset(lab.key for lab in labs)
            subscriptions = {key.subscription_id for key in (settings.factory.key, *listed)} | set(further)
            read, unlisted = await asyncio.gather(facts, unlisted_labs(arm, subscriptions, listed))
            return replace(read, unlisted=unlisted)


async def read_checked_facts(
    arm: ResourceManager, accounts: StorageAccounts, settings: Settings, configuration: Configuration | None
) -> CloudFacts:
    """Read the factory and, with a configuration, its target labs; check the VHDs that labs are yet to get.

    Raises `CloudError` if the factory lab or its storage cannot be read.
    """
    facts = await read_facts(arm, accounts, settings, configuration)
    targets = configuration.labs if configuration else None

    def unchecked(catalog: Catalog) -> Iterable[FactoryImage]:
        return vhds_to_check(catalog, settings, facts.factory, targets, facts.labs, facts.gallery, facts.now)

    place = BlobRef(facts.factory.storage_account_id or "", facts.container_url)
    with phase("check VHDs"):
        return replace(facts, catalog=await check_vhds(PageBlobs(accounts), facts.catalog, place, unchecked))


async def read_facts(
    arm: ResourceManager, accounts: StorageAccounts, settings: Settings, configuration: Configuration | None
) -> CloudFacts:
    """Read the same without a check of VHDs.

    Raises `CloudError` if the factory lab or its storage cannot be read.
    """
    factory, labs = await read_labs(arm, settings, configuration)
    learn_endpoints(accounts, (factory, *labs.values()))
    with phase("read factory"):
        catalog = (await read_catalog(accounts, factory)).in_case_of(configuration.image_paths if configuration else ())
    container_url = f"{accounts.endpoint(factory.storage_account_id or '')}/{CONTAINER}"
    gallery, labs = await read_galleries(arm, settings, factory, labs)
    return CloudFacts(factory, container_url, catalog, await with_machines(arm, settings, labs), gallery)


async def read_galleries(
    arm: ResourceManager, settings: Settings, factory: LabFacts, labs: Mapping[LabKey, LabFacts | Diagnostic]
) -> tuple[GalleryFacts | Diagnostic | None, Mapping[LabKey, LabFacts | Diagnostic]]:
    """Return the gallery of the settings (None: they name none), and the labs with those that they have attached."""
    if settings.gallery is None:
        return None, labs
    with phase("read galleries"):
        return await asyncio.gather(gallery_facts(arm, settings.gallery, factory), with_galleries(arm, labs))


async def wait_for_operation(settings: Settings, image_id: str) -> None:
    """Wait until Azure has no operation in progress on a custom image, by ARM id. Raises `ImageFactoryError`."""
    async with connect(settings) as (arm, _):
        await settled_image(arm, image_id, lambda _: POLL_SECONDS)


async def wait_for_version(settings: Settings, version_id: str) -> None:
    """Wait until Azure has no operation in progress on a gallery version, by ARM id. Raises `ImageFactoryError`."""
    async with connect(settings) as (arm, _):
        while True:
            if not await is_in_progress(arm, version_id):
                return
            await asyncio.sleep(POLL_SECONDS)


async def read_labs(
    arm: ResourceManager, settings: Settings, configuration: Configuration | None
) -> tuple[LabFacts, Mapping[LabKey, LabFacts | Diagnostic]]:
    """Read the factory lab and its target labs. Raises `CloudError` if the factory lab cannot be read."""
    factory, labs = await find_labs(arm, settings, configuration)
    if isinstance(factory, Diagnostic):
        raise CloudError(replace(factory, subject=f"factory: {factory.subject}"))
    return factory, labs


async def find_labs(
    arm: ResourceManager, settings: Settings, configuration: Configuration | None
) -> tuple[LabFacts | Diagnostic, Mapping[LabKey, LabFacts | Diagnostic]]:
    """Return the factory lab and its target labs, each as its facts or why it cannot be read."""
    targets = [lab.key for lab in configuration.labs] if configuration else []
    with phase("read labs"):
        factory, labs = await lab_facts(arm, settings.factory.key, targets)
        places: list[LabKey | None] = [None, *labs]
        found = await with_accounts(arm, dict(zip(places, (factory, *labs.values()), strict=True)))
    return found[None], {key: found[key] for key in labs}
