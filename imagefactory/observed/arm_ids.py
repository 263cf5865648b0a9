"""ARM ids from outside, such as Azure's responses and blob metadata: each must have exactly the form of its type.

Defines the types of resources that requests are sent to, and which names they can have. Does not send requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from imagefactory.configuration.image_names import LISTABLE

_SUBSCRIPTION = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_RESOURCE_GROUP = r"(?u:[\w().-]{0,89}[\w()-])"
_COMPUTE = r"[a-z0-9](?:[\w.-]{0,78}\w)?"
_LAB = r"[\w-]{1,50}"
_ACCOUNT = r"[a-z0-9]{3,24}"
"""Names: learn.microsoft.com, "Naming rules and restrictions for Azure resources"; for VMs, also the underscores and
full stops that Compute accepts and that page omits. For custom images, all names that can be in an id."""

_LONGEST_SHOWN = 200


@dataclass(frozen=True)
class ArmId:
    """The parts of an ARM id, as written."""

    text: str
    subscription_id: str
    resource_group: str
    name: str
    """The name of the resource: the last part."""


@dataclass(frozen=True)
class ArmType:
    """A resource type by its full name, with a pattern for each name in its ids."""

    title: str
    names: tuple[str, ...]

    def parse(self, value: object) -> ArmId | None:
        """Return the id if the value is one of this type, case-insensitive; else None."""
        match = self._pattern.fullmatch(value) if isinstance(value, str) else None
        return match and ArmId(match[0], match["subscription"], match["group"], match[0].rpartition("/")[2])

    def of(self, resource: Mapping[str, object]) -> ArmId | None:
        """Return the id of a resource as Azure lists it, if it has this type and the resource's name; else None."""
        found = self.parse(resource.get("id"))
        return found if found and found.name.lower() == str(resource.get("name", "")).lower() else None

    def fact(self, what: str, value: object) -> str:
        """Return the fact for a diagnostic about a value that is not an id of this type; `what` names the value."""
        return f'{what} "{str(value)[:_LONGEST_SHOWN]}" is not an id of a {self.title}'

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        provider, *kinds = self.title.split("/")
        types = "".join(f"/{kind}/{name}" for kind, name in zip(kinds, self.names, strict=True))
        start = f"/subscriptions/(?P<subscription>{_SUBSCRIPTION})/resourceGroups/(?P<group>{_RESOURCE_GROUP})"
        # ASCII, because without it the fixed parts would also match letters such as the Kelvin sign for a k.
        return re.compile(f"{start}/providers/{re.escape(provider)}{types}", re.IGNORECASE | re.ASCII)


GALLERY = ArmType("Microsoft.Compute/galleries", (_COMPUTE,))
GALLERY_IMAGE = ArmType("Microsoft.Compute/galleries/images", (_COMPUTE, _COMPUTE))
GALLERY_VERSION = ArmType("Microsoft.Compute/galleries/images/versions", (_COMPUTE, _COMPUTE, r"\d+\.\d+\.\d+"))
DISK = ArmType("Microsoft.Compute/disks", (_COMPUTE,))
VIRTUAL_MACHINE = ArmType("Microsoft.Compute/virtualMachines", (_COMPUTE,))
LAB = ArmType("Microsoft.DevTestLab/labs", (_LAB,))
CUSTOM_IMAGE = ArmType("Microsoft.DevTestLab/labs/customimages", (_LAB, LISTABLE))
LAB_GALLERY = ArmType("Microsoft.DevTestLab/labs/sharedgalleries", (_LAB, _COMPUTE))
LAB_VIRTUAL_MACHINE = ArmType("Microsoft.DevTestLab/labs/virtualmachines", (_LAB, _COMPUTE))
STORAGE_ACCOUNT = ArmType("Microsoft.Storage/storageAccounts", (_ACCOUNT,))


def is_account_name(name: str) -> bool:
    """Return whether a storage account can have the name, case-insensitive; only such names become part of a host."""
    return re.fullmatch(_ACCOUNT, name, re.IGNORECASE | re.ASCII) is not None
