"""Inputs of a prune plan: the factory, its VMs, and the galleries, custom images and staged VHDs of all its stacks.

Reads them in a safe order; if a lab or a gallery cannot be read, reads the others. Does not decide what to delete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.lab_storage import learn_endpoints
from imagefactory.azure.observe import read_galleries, read_labs
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.blob_lists import list_blobs
from imagefactory.azure.storage.factory_container import CONTAINER, read_catalog
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.azure.storage.vhd_checks import check_vhds
from imagefactory.azure.virtual_machines import factory_vms
from imagefactory.configuration.loading import Configuration
from imagefactory.configuration.stack_settings import Settings
from imagefactory.copying.copier import SOURCE, user_of, users_of
from imagefactory.diagnostics import Diagnostic
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage
from imagefactory.images.ranges_manifest import manifest_name
from imagefactory.observed.blobs import STAGING_CONTAINER, BlobRef
from imagefactory.observed.factory_blobs import StoredBlob
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.factory.gallery_needs import GalleryNeeds, gallery_needs
from imagefactory.planning.factory.last_good import LastGood, last_good
from imagefactory.planning.factory.staging_needs import StackPlan, StagedVhd, StagingNeeds, staging_needs
from imagefactory.planning.labs.vhd_checks import vhds_to_check
from imagefactory.telemetry.phases import phase

MOST_STAGED = 10_000
"""Blobs to read from a lab's container, at most: two pages. A run stages a few; a lab's owner can add millions."""

_KEPT = "staged VHDs in it are kept"
_ALL_KEPT = "no VHD of the factory is deleted"


@dataclass(frozen=True)
class PruneInputs:
    """The state of the factory and its labs."""

    catalog: Catalog
    blobs: Sequence[StoredBlob]
    """Of the factory's container."""
    vms: Mapping[str, str]
    """Names of the factory lab's VMs by their ARM id in lower case."""
    staged: Sequence[StagedVhd]
    needs: StagingNeeds
    last_good: LastGood
    galleries: GalleryNeeds
    stacks: Sequence[StackPlan]
    """The stacks, as they were given."""
    unread: Sequence[Diagnostic]
    """Why a gallery, a lab or its staged VHDs could not be read."""


async def read_prune_inputs(
    arm: ResourceManager, accounts: StorageAccounts, stacks: Sequence[tuple[Settings, Configuration]], now: datetime
) -> PruneInputs:
    """Read the inputs for all stacks of one factory, with the connection settings of the first one.

    Raises `ImageFactoryError` if the factory lab, its storage or its VMs cannot be read.
    """
    # In sequence: if one of several parallel reads fails, the others report closed connections.
    read = [await read_labs(arm, settings, configuration) for settings, configuration in stacks]
    factory = read[0][0]
    galleries = [
        await read_galleries(arm, settings, factory, labs)
        for (settings, _), (_, labs) in zip(stacks, read, strict=True)
    ]
    learn_endpoints(accounts, (lab for own, labs in read for lab in (own, *labs.values())))
    vms = await factory_vms(arm, factory, lambda _: False)
    with phase("read factory"):
        blobs, catalog = await _factory_storage(accounts, factory)
    plans = [
        StackPlan(configuration, labs, settings, gallery)
        for (settings, configuration), (gallery, labs) in zip(stacks, galleries, strict=True)
    ]
    container_url = f"{accounts.endpoint(factory.storage_account_id or '')}/{CONTAINER}"

    def unchecked(catalog: Catalog) -> Iterable[FactoryImage]:
        checks = (
            vhds_to_check(catalog, one.policy, factory, one.configuration.labs, one.labs, one.gallery, now)
            for one in plans
        )
        return chain.from_iterable(checks)

    catalog = catalog.in_case_of(chain.from_iterable(configuration.image_paths for _, configuration in stacks))
    # As the stacks' plans: an image that they leave out must not count as the newest one here.
    place = BlobRef(factory.storage_account_id or "", container_url)
    catalog = await check_vhds(PageBlobs(accounts), catalog, place, unchecked)
    labs = [lab for plan in plans for lab in plan.labs.values()]
    unread = list(dict.fromkeys(lab for lab in labs if isinstance(lab, Diagnostic)))
    ids = (lab.storage_account_id for lab in labs if isinstance(lab, LabFacts))
    staging = {each.lower(): each for each in ids if each}
    source = f"{container_url}/"
    staged: list[StagedVhd] = []
    for found in await asyncio.gather(*(_staged(accounts, each, source) for each in staging.values())):
        if isinstance(found, Diagnostic):
            unread.append(found)
        else:
            staged += found
    return PruneInputs(
        catalog=catalog,
        blobs=blobs,
        vms={vm.id.lower(): vm.name for vm in vms},
        staged=staged,
        needs=staging_needs(plans, catalog, factory, user_of, now),
        last_good=last_good(plans, catalog),
        galleries=gallery_needs(plans, catalog, now),
        stacks=plans,
        unread=[
            *(replace(diagnostic, consequence=_KEPT) for diagnostic in unread),
            *(
                replace(each, consequence=_ALL_KEPT)
                for each in dict.fromkeys(one.gallery for one in plans)
                if isinstance(each, Diagnostic)
            ),
        ],
    )


async def _factory_storage(accounts: StorageAccounts, factory: LabFacts) -> tuple[list[StoredBlob], Catalog]:
    """List the blobs before the catalog: later changes have other ETags, so the blob is not deleted."""
    if factory.storage_account_id is None:
        return [], await read_catalog(accounts, factory)
    blobs = await list_blobs(accounts, factory.storage_account_id, CONTAINER)
    return blobs, await read_catalog(accounts, factory)


async def _staged(accounts: StorageAccounts, account_id: str, source: str) -> list[StagedVhd] | Diagnostic:
    """Return the staged VHDs of an account with a source under `source`; other factories may stage VHDs there too."""
    try:
        blobs = await list_blobs(accounts, account_id, STAGING_CONTAINER, MOST_STAGED)
    except CloudError as problem:
        return problem.diagnostic
    listed = {blob.name: blob for blob in blobs}
    return [
        StagedVhd(blob, users_of(blob.metadata), listed.get(manifest_name(blob.name)))
        for blob in listed.values()
        if blob.is_vhd and blob.metadata.get(SOURCE, "").lower().startswith(source.lower())
    ]
