"""Where experiments run: one lab and its storage account, in a cloud.

Finds the spare lab on Azure, and refuses the factory lab. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from contract.wire import Answer, ContractError, Wire
from imagefactory.azure.core.clouds import Cloud, cloud_of
from imagefactory.azure.labs import API_VERSION as LAB_VERSION
from imagefactory.azure.storage.account_openers import API_VERSION as STORAGE_VERSION
from imagefactory.azure.storage.accounts import REST_VERSION
from imagefactory.azure.virtual_machines import COMPUTE_VERSION, DISK_VERSION
from imagefactory.configuration.stack_settings import Settings
from imagefactory.observed.arm_ids import LAB, STORAGE_ACCOUNT

VERSIONS = {
    "labs": LAB_VERSION,
    "compute": COMPUTE_VERSION,
    "disks": DISK_VERSION,
    "storageAccounts": STORAGE_VERSION,
    "galleries": "2024-03-03",
    "sharedGalleries": "2018-10-15-preview",
}


@dataclass(frozen=True)
class Place:
    """A spare lab. `blob` is the blob endpoint of its account, ids are as the service shows them."""

    name: str
    """The cloud: embedded, public, usgovernment or china."""
    cloud: Cloud
    lab_id: str
    account_id: str
    region: str
    blob: str
    storage_version: str = REST_VERSION
    disk: str | None = None
    """The id of a managed disk that may be read; None: the run creates one."""
    machine: str | None = None
    """The id of a lab VM, deallocated, that may be deleted; None: the run creates one."""
    keyless: str | None = None
    """The blob endpoint of an account with disabled keys; None: there is none, or it is the lab's."""
    slow: Callable[[], AbstractContextManager[None]] = nullcontext
    """Makes operations that start within it take long, where a cloud can; elsewhere they take as long as they do."""

    @property
    def embedded(self) -> bool:
        """Whether this is the embedded cloud."""
        return self.name == "embedded"

    @property
    def subscription(self) -> str:
        return self.lab_id.split("/")[2]

    @property
    def group(self) -> str:
        return self.lab_id.split("/")[4]

    @property
    def lab(self) -> str:
        return self.lab_id.rpartition("/")[2]

    @property
    def account(self) -> str:
        return self.account_id.rpartition("/")[2]

    @property
    def group_id(self) -> str:
        """The id of the lab's resource group."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"


def find_place(wire: Wire, settings: Settings, lab: str, subscription: str | None, group: str | None) -> Place:
    """Return the lab of that name. Raises ContractError."""
    cloud = cloud_of(settings)
    where = subscription or settings.factory.subscription_id
    found = []
    url = (
        f"{cloud.resource_manager}/subscriptions/{where}/providers/Microsoft.DevTestLab/labs?api-version={LAB_VERSION}"
    )
    while url:
        page = _read(wire, cloud, url)
        found += [each for each in page.json["value"] if LAB.of(each)]
        url = page.json.get("nextLink") or ""
        if url and not url.startswith(f"{cloud.resource_manager}/"):
            raise ContractError(
                f"subscription {where}: the list of labs continues at another host; nothing was changed."
            )
    labs = [each for each in found if each["name"].lower() == lab.lower()]
    labs = [each for each in labs if group is None or each["id"].split("/")[4].lower() == group.lower()]
    if len(labs) != 1:
        fact = f"has {len(labs)} labs named {lab}"
        remedy = "Pass --resource-group" if labs else "Check --lab, --subscription and --resource-group"
        raise ContractError(f"subscription {where}: {fact}; nothing was changed. {remedy}.")
    (only,) = labs
    place = _place(wire, cloud, settings, only)
    factory = settings.factory
    if (place.subscription.lower(), place.lab.lower()) == (factory.subscription_id.lower(), factory.lab_name.lower()):
        raise ContractError(f"lab {lab}: is the factory lab of the stack; nothing was changed. Name a spare lab.")
    return place


def _place(wire: Wire, cloud: Cloud, settings: Settings, lab: dict[str, str]) -> Place:
    url = f"{cloud.resource_manager}{lab['id']}?api-version={LAB_VERSION}"
    shown = _read(wire, cloud, url).json
    account = STORAGE_ACCOUNT.parse(shown.get("properties", {}).get("defaultStorageAccount"))
    if account is None:
        raise ContractError(f"lab {lab['name']}: has no storage account; nothing was changed. Name another lab.")
    url = f"{cloud.resource_manager}{account.text}?api-version={STORAGE_VERSION}"
    endpoints = _read(wire, cloud, url).json.get("properties", {}).get("primaryEndpoints", {})
    return Place(
        name=settings.cloud,
        cloud=cloud,
        lab_id=lab["id"],
        account_id=account.text,
        region=str(shown.get("location", "")),
        blob=cloud.endpoint_of(account.name, str(endpoints.get("blob", ""))),
        storage_version=settings.storage_api_version or REST_VERSION,
    )


def _read(wire: Wire, cloud: Cloud, url: str) -> Answer:
    answer = wire.send("GET", url, cloud.scope)
    if answer.status != 200 or not isinstance(answer.json, dict):
        raise ContractError(f"{answer.request}: returned {answer.status} {answer.code or ''}; nothing was changed.")
    return answer
