"""The state of the resource manager: labs and their contents, access to disks, operations.

Defines the values, their ids and ARM's JSON for them (`machines` has those of virtual machines), and saves them
atomically to `arm.json` (mode 0600) shortly after each change. Does not contain rules: `custom_images` and
`virtual_machines` do.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from localcloud.arm.answers import Answers
from localcloud.arm.errors import ArmError
from localcloud.arm.galleries import Gallery, SharedGallery
from localcloud.arm.gallery_seeding import add_galleries, attached
from localcloud.arm.machines import Disk, VirtualMachine, seeded_machine, timestamp
from localcloud.blobs.disk_access import Grant
from localcloud.private_files import write_private
from localcloud.seed import SeedImage, SeedSubscription, SeedVirtualMachine

Fault = dict[str, str]
"""The error that an operation ends with: its `code` and `message`."""

SOURCES = {"vhd", "vm", "managedImageId", "managedSnapshotId"}
"""The properties of an image that say what it is made from, or what Azure made of that."""
AUTHOR = "someone@example.com"
"""What the service fills in for an image without author: who made it, by sign-in name (recorded of a user)."""
SAVE_DELAY_SECONDS = 0.5
OPERATION_LIFE_SECONDS = 3600.0
"""How long a finished operation can still be polled."""


class StoreError(Exception):
    """The saved state cannot be used; the message gives the reason and the remedy."""


@dataclass
class CustomImage:
    """A custom image. `properties` are those that ARM returns, except the provisioning state; `operation` names the
    active creation or deletion, if any; `extras` is what a seed puts beside the properties in every answer."""

    name: str
    properties: dict[str, Any]
    state: str
    tags: dict[str, str] | None = None
    location: str | None = None
    operation: str | None = None
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass
class Lab:
    """A DevTest Lab with its images, virtual machines and attached galleries, by lower-case name."""

    subscription_id: str
    resource_group: str
    name: str
    region: str
    storage_account: str | None
    created: str
    unique_identifier: str
    images: dict[str, CustomImage] = field(default_factory=dict)
    machines: dict[str, VirtualMachine] = field(default_factory=dict)
    galleries: dict[str, SharedGallery] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The lab's ARM id in the casing that DevTest Labs returns."""
        return (
            f"/subscriptions/{self.subscription_id}/resourcegroups/{self.resource_group}"
            f"/providers/microsoft.devtestlab/labs/{self.name}"
        )

    @property
    def storage_id(self) -> str | None:
        """The ARM id of the lab's storage account."""
        if self.storage_account is None:
            return None
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.Storage/storageAccounts/{self.storage_account}"
        )

    def to_arm(self) -> dict[str, Any]:
        """Return the lab as ARM's JSON."""
        properties: dict[str, Any] = {
            "labStorageType": "Standard",
            "createdDate": self.created,
            "provisioningState": "Succeeded",
            "uniqueIdentifier": self.unique_identifier,
        }
        if self.storage_id is not None:
            properties |= {"defaultStorageAccount": self.storage_id, "artifactsStorageAccount": self.storage_id}
        return {
            "properties": properties,
            "id": self.id,
            "name": self.name,
            "type": "Microsoft.DevTestLab/labs",
            "location": self.region,
        }

    def image_to_arm(self, image: CustomImage, state: str, answers: Answers) -> dict[str, Any]:
        """Return an image in provisioning state `state` as ARM's JSON."""
        body: dict[str, Any] = {
            "properties": {**image.properties, "provisioningState": state},
            "id": f"{self.id}/customimages/{image.name}",
            "name": image.name,
            "type": "Microsoft.DevTestLab/labs/customImages",
        }
        if answers.custom_image_answers == "published":
            body["id"] = (
                f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
                f"/providers/Microsoft.DevTestLab/labs/{self.name}/customimages/{image.name}"
            )
            body["location"] = image.location or self.region
        if image.tags is not None or answers.policy_tags:
            body["tags"] = {**(image.tags or {}), **answers.policy_tags}
        return {**body, **image.extras}

    def backing(self, image: str, generalized: bool) -> dict[str, str]:
        """Return the resource that Azure creates an image from: a managed image if generalized, else a snapshot."""
        kind, key = ("images", "managedImageId") if generalized else ("snapshots", "managedSnapshotId")
        group = f"/subscriptions/{self.subscription_id}/resourcegroups/{self.resource_group}"
        return {key: f"{group}/providers/microsoft.compute/{kind}/{image}"}


@dataclass
class AskedGrant:
    """The grant of access that an operation creates: its id, the disk's container, its duration in seconds, and
    whether its SAS alone opens the disk."""

    id: str
    container: str
    seconds: float
    usable: bool = True


@dataclass
class Operation:
    """A long-running operation. `due`, `ended` and `began` are seconds since 1970, `fault` is the error that it ends
    with."""

    due: float
    ended: float | None = None
    fault: Fault | None = None
    began: float = 0.0
    grant: AskedGrant | None = None


@dataclass
class ArmStore:
    """All state of the resource manager. `path` None: in memory only."""

    path: Path | None = None
    subscriptions: set[str] = field(default_factory=set)
    labs: dict[tuple[str, str, str], Lab] = field(default_factory=dict)
    galleries: dict[tuple[str, str, str], Gallery] = field(default_factory=dict)
    groups: list[tuple[str, str, str]] = field(default_factory=list)
    """Resource groups without a lab: subscription, name, region."""
    operations: dict[str, Operation] = field(default_factory=dict)
    answers: Answers = field(default_factory=Answers)
    """Not saved: as recorded after each start."""
    grants: dict[str, Grant] = field(default_factory=dict)
    """Access to disks by grant id; every check of a SAS reads this same mapping."""
    _saving: asyncio.TimerHandle | None = None

    @classmethod
    def load(cls, path: Path | None) -> ArmStore:
        """Load the store from `path`; it is empty if the file does not exist. Raises StoreError for a broken file."""
        store = cls(path)
        if path is None or not path.exists():
            return store
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            store.subscriptions = set(saved["subscriptions"])
            for each in saved["labs"]:
                images = {key: CustomImage(**image) for key, image in each.pop("images").items()}
                machines = {key: _machine(machine) for key, machine in each.pop("machines", {}).items()}
                attached = {key: SharedGallery(**gallery) for key, gallery in each.pop("galleries", {}).items()}
                store._put(Lab(**each, images=images, machines=machines, galleries=attached))
            store.galleries = {each.key: each for each in map(Gallery.load, saved.get("galleries", []))}
            store.groups = [(each[0], each[1], each[2]) for each in saved.get("groups", [])]
            store.operations = {name: _operation(each) for name, each in saved["operations"].items()}
            store.grants = {name: Grant(**each) for name, each in saved.get("grants", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{path}: is not the saved state of the embedded resource manager ({error}); the cloud does not start. "
                "Delete the file and seed the cloud again."
            ) from error
        return store

    def save(self) -> None:
        """Write the state atomically, readable by the owner only."""
        if self._saving is not None:
            self._saving.cancel()
            self._saving = None
        if self.path is None:
            return
        now = time.time()
        oldest = now - OPERATION_LIFE_SECONDS
        self.operations = {
            name: each for name, each in self.operations.items() if each.ended is None or each.ended > oldest
        }
        document = {
            "subscriptions": sorted(self.subscriptions),
            "labs": [asdict(lab) for lab in self.labs.values()],
            "galleries": [asdict(gallery) for gallery in self.galleries.values()],
            "groups": self.groups,
            "operations": {name: asdict(each) for name, each in self.operations.items()},
            "grants": {name: asdict(each) for name, each in self.grants.items() if each.expires > now},
        }
        write_private(self.path, document)

    def changed(self) -> None:
        """Save once for all changes within half a second. Needs the running event loop."""
        if self._saving is None and self.path is not None:
            self._saving = asyncio.get_running_loop().call_later(SAVE_DELAY_SECONDS, self.save)

    def add(self, subscriptions: Iterable[SeedSubscription]) -> None:
        """Add the resources of a seed document; existing ones are not changed."""
        for subscription in subscriptions:
            subscription_id = self.find_subscription(subscription.subscription_id) or subscription.subscription_id
            self.subscriptions.add(subscription_id)
            add_galleries(self.galleries, subscription_id, subscription.galleries)
            groups = [(group.name, group.region) for group in subscription.resource_groups]
            groups += [(gallery.resource_group, gallery.region) for gallery in subscription.galleries]
            for name, region in groups:
                if self.find_group(subscription_id, name) is None:
                    self.groups.append((subscription_id, name, region))
            for seed in subscription.labs:
                lab = self.find_lab(subscription_id, seed.resource_group, seed.name) or Lab(
                    subscription_id,
                    seed.resource_group,
                    seed.name,
                    seed.region,
                    seed.storage_account,
                    timestamp(),
                    str(uuid.uuid4()),
                )
                self._put(lab)
                for image in seed.images:
                    lab.images.setdefault(image.name.lower(), _seeded(lab, image))
                if seed.shared_gallery and not lab.galleries:
                    lab.galleries[seed.shared_gallery.name.lower()] = attached(seed.shared_gallery, seed.region)
                for machine in seed.virtual_machines:
                    existing = lab.machines.get(machine.name.lower())
                    if existing is None or not existing.whole:
                        lab.machines[machine.name.lower()] = seeded_machine(lab.name, machine)
        self.save()

    def unfinished(
        self, subscriptions: Iterable[SeedSubscription]
    ) -> list[tuple[Lab, VirtualMachine, SeedVirtualMachine]]:
        """Return the machines of a seed document whose disks have no bytes yet."""
        return [
            (lab, lab.machines[machine.name.lower()], machine)
            for subscription in subscriptions
            for seed in subscription.labs
            if (lab := self.find_lab(subscription.subscription_id, seed.resource_group, seed.name))
            for machine in seed.virtual_machines
            if not lab.machines[machine.name.lower()].whole
        ]

    def find_lab(self, subscription: str, group: str, name: str) -> Lab | None:
        """Return the lab of that name, case-insensitive."""
        return self.labs.get((subscription.lower(), group.lower(), name.lower()))

    def find_gallery(self, subscription: str, group: str, name: str) -> Gallery | None:
        """Return the gallery of that name, case-insensitive."""
        return self.galleries.get((subscription.lower(), group.lower(), name.lower()))

    def labs_of(self, gallery: Gallery) -> list[str]:
        """Return the ids of the labs that a gallery is attached to."""
        ids = ((lab.id, each.gallery_id) for lab in self.labs.values() for each in lab.galleries.values())
        return [lab for lab, id in ids if id.lower() == gallery.id.lower()]

    def find_group(self, subscription: str, name: str) -> tuple[str, str] | None:
        """Return name and region of the resource group of that name; the region is that of its first lab, if any."""
        labs = ((lab.subscription_id, lab.resource_group, lab.region) for lab in self.labs.values())
        wanted = (subscription.lower(), name.lower())
        return next((each[1:] for each in (*labs, *self.groups) if (each[0].lower(), each[1].lower()) == wanted), None)

    def find_subscription(self, subscription: str) -> str | None:
        """Return the subscription id as declared, found case-insensitively."""
        return next((each for each in self.subscriptions if each.lower() == subscription.lower()), None)

    def move(self, lab: Lab, group: str, subscription: str) -> None:
        """Move a lab and all in it to another resource group, also of another subscription, which need not exist.

        Every id changes, no name does. Its storage account moves with it; to other labs that use that account it stays
        where it was. Raises ArmError (409) if a lab of that name is there."""
        target = self.find_subscription(subscription) or subscription
        if self.find_lab(target, group, lab.name) is not None:
            text = f"The resource group '{group}' has a lab of the name '{lab.name}'."
            raise ArmError(409, "ResourceMoveFailed", text)
        before = f"/subscriptions/{lab.subscription_id}/resourcegroups/{lab.resource_group}/"
        self.labs = {key: each for key, each in self.labs.items() if each is not lab}
        self.subscriptions.add(target)
        lab.subscription_id, lab.resource_group = target, group
        after = f"/subscriptions/{target}/resourcegroups/{group}/"
        for image in lab.images.values():
            image.properties = _moved(image.properties, before, after)
        for machine in lab.machines.values():
            machine.properties = _moved(machine.properties, before, after)
        self._put(lab)
        self.changed()

    def find_account(self, subscription: str, group: str, name: str) -> Lab | None:
        """Return the first lab that uses the storage account."""
        wanted = (subscription.lower(), group.lower())
        return next(
            (lab for key, lab in self.labs.items() if key[:2] == wanted and lab.storage_account == name.lower()), None
        )

    def find_machine(self, subscription: str, group: str, name: str) -> tuple[Lab, VirtualMachine] | None:
        """Return the compute VM of that name in that resource group, with its lab."""
        machines = self._machines_in(subscription, group)
        return next(((lab, machine) for lab, machine in machines if machine.name.lower() == name.lower()), None)

    def find_disk(self, subscription: str, group: str, name: str) -> tuple[Lab, VirtualMachine, Disk] | None:
        """Return the managed disk of that name in that resource group, with its lab and machine."""
        disks = ((lab, each, disk) for lab, each in self._machines_in(subscription, group) for disk in each.disks)
        return next((found for found in disks if found[2].name.lower() == name.lower()), None)

    def all_machines(self) -> list[tuple[Lab, VirtualMachine]]:
        """Return the machines of all labs, each with its lab."""
        return [(lab, machine) for lab in self.labs.values() for machine in lab.machines.values()]

    def _machines_in(self, subscription: str, group: str) -> Iterator[tuple[Lab, VirtualMachine]]:
        for lab, machine in self.all_machines():
            if (lab.subscription_id.lower(), machine.group.lower()) == (subscription.lower(), group.lower()):
                yield lab, machine

    def _put(self, lab: Lab) -> None:
        self.labs[(lab.subscription_id.lower(), lab.resource_group.lower(), lab.name.lower())] = lab


def _machine(saved: Mapping[str, Any]) -> VirtualMachine:
    return VirtualMachine(**{**saved, "disks": [Disk(**each) for each in saved["disks"]]})


def _operation(saved: Mapping[str, Any]) -> Operation:
    grant = saved.get("grant")
    return Operation(**{**saved, "grant": AskedGrant(**grant) if grant else None})


def new_properties(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image's properties with those that the service adds on creation."""
    added = {"creationDate": timestamp(), "uniqueIdentifier": str(uuid.uuid4())}
    return {**given, "author": given.get("author") or AUTHOR, **added}


def _moved(value: Any, before: str, after: str) -> Any:
    """Return a value of JSON with the ids that begin with `before`, in any casing, begun with `after`."""
    if isinstance(value, dict):
        return {key: _moved(each, before, after) for key, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, before, after) for each in value]
    begins = isinstance(value, str) and value.lower().startswith(before.lower())
    return after + value[len(before) :] if begins else value


def _seeded(lab: Lab, seed: SeedImage) -> CustomImage:
    properties: dict[str, Any] = {}
    if not seed.properties.keys() & SOURCES:
        vhd: dict[str, Any] = {"osType": seed.os_type, "sysPrep": seed.os_type == "Windows"}
        properties["vhd"] = vhd if seed.vhd_url is None else {**vhd, "imageName": seed.vhd_url}
        if seed.provisioning_state == "Succeeded":
            properties |= lab.backing(seed.name, vhd["sysPrep"])
    given = {"author": seed.author, "description": seed.description}
    told = {key: value for key, value in given.items() if value is not None}
    properties = {**new_properties(properties), **told, **seed.properties}
    extras: dict[str, Any] = {} if seed.location is None else {"location": seed.location}
    if seed.system_data is not None:
        extras["systemData"] = seed.system_data
    return CustomImage(seed.name, properties, seed.provisioning_state, dict(seed.tags) or None, extras=extras)
