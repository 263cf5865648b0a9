"""ARM ids from outside, such as Azure's answers and blob metadata: each has exactly the shape of its type, or is none.

Defines the types of resources that requests are sent to, and which names Azure gives them. Does not send anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

_SUBSCRIPTION = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_RESOURCE_GROUP = r"(?u:[\w().-]{0,89}[\w()-])"
_COMPUTE = r"[a-z0-9](?:[\w.-]{0,78}\w)?"
_LAB = r"[\w-]{1,50}"
_IMAGE = r"[^/\\?#%&<>\x00-\x1f\x7f]{0,79}[^/\\?#%&<>\x00-\x1f\x7f. ]"
_ACCOUNT = r"[a-z0-9]{3,24}"
"""Names: learn.microsoft.com, "Naming rules and restrictions for Azure resources". Of custom images, all that
`imagefactory.configuration.image_names` takes; of VMs, also the underscores and full stops that Compute takes and that
page leaves out."""

_LONGEST_SHOWN = 200


@dataclass(frozen=True)
class ArmId:
    """The parts of an ARM id, as they were written."""

    text: str
    subscription_id: str
    resource_group: str
    name: str
    """Of the resource itself: the last part."""


@dataclass(frozen=True)
class ArmType:
    """A resource type by its full name, with a pattern for each name in an id of it."""

    title: str
    names: tuple[str, ...]

    def parse(self, value: object) -> ArmId | None:
        """The id, if the value is one of this type; letter case counts in no part of it."""
        match = self._pattern.fullmatch(value) if isinstance(value, str) else None
        return match and ArmId(match[0], match["subscription"], match["group"], match[0].rpartition("/")[2])

    def of(self, resource: Mapping[str, object]) -> ArmId | None:
        """The id of a resource as Azure lists it, if it is one of this type and of the resource's own name."""
        found = self.parse(resource.get("id"))
        return found if found and found.name.lower() == str(resource.get("name", "")).lower() else None

    def fact(self, what: str, value: object) -> str:
        """What is wrong with a value that is no id of this type, as a phrase about `what`."""
        return f'{what} "{str(value)[:_LONGEST_SHOWN]}" is not an id of a {self.title}'

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        provider, *kinds = self.title.split("/")
        types = "".join(f"/{kind}/{name}" for kind, name in zip(kinds, self.names, strict=True))
        start = f"/subscriptions/(?P<subscription>{_SUBSCRIPTION})/resourceGroups/(?P<group>{_RESOURCE_GROUP})"
        # ASCII, or the Kelvin sign would be a k, and other letters other ones, in all that is fixed.
        return re.compile(f"{start}/providers/{re.escape(provider)}{types}", re.IGNORECASE | re.ASCII)


DISK = ArmType("Microsoft.Compute/disks", (_COMPUTE,))
VIRTUAL_MACHINE = ArmType("Microsoft.Compute/virtualMachines", (_COMPUTE,))
LAB = ArmType("Microsoft.DevTestLab/labs", (_LAB,))
CUSTOM_IMAGE = ArmType("Microsoft.DevTestLab/labs/customimages", (_LAB, _IMAGE))
LAB_VIRTUAL_MACHINE = ArmType("Microsoft.DevTestLab/labs/virtualmachines", (_LAB, _COMPUTE))
STORAGE_ACCOUNT = ArmType("Microsoft.Storage/storageAccounts", (_ACCOUNT,))


def is_account_name(name: str) -> bool:
    """Whether a storage account can have the name, in whatever letter case; only such a name becomes part of a host."""
    return re.fullmatch(_ACCOUNT, name, re.IGNORECASE | re.ASCII) is not None
