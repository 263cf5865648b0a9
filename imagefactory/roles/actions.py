"""Actions of Azure's access control, as "Azure permissions" (documentation of its roles) lists them, and roles of them.

What a request to the blob service needs is from "Authorize with Microsoft Entra ID" (REST API of storage), "Permissions
for calling data operations"; the service's refusals do not name it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qsl, urlsplit

LABS, COMPUTE, STORAGE = "Microsoft.DevTestLab/labs", "Microsoft.Compute", "Microsoft.Storage/storageAccounts"
CONTAINERS = f"{STORAGE}/blobServices/containers"
BLOBS = f"{CONTAINERS}/blobs"
DELEGATION_KEY = f"{STORAGE}/blobServices/generateUserDelegationKey/action"
LIST_KEYS = f"{STORAGE}/listKeys/action"
BLOB_READER, BLOB_CONTRIBUTOR = "Storage Blob Data Reader", "Storage Blob Data Contributor"
"""Built-in roles. The Reader has `read` of blobs and the delegation key, the Contributor all that is used here."""
_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "POST": "write", "DELETE": "delete"}


class Place(Enum):
    """Where a role is assigned: its title in the names of roles, and the scope."""

    SUBSCRIPTION = "Subscription", "subscription of the factory lab, and of each target lab"
    FACTORY_SUBSCRIPTION = "Subscription", "subscription of the factory lab"
    FACTORY_MACHINES = "Factory Machines", "subscription of the factory lab, or the resource groups of its VMs"
    FACTORY_OPERATIONS = "Factory Operations", "subscription of the factory lab"
    FACTORY_STORAGE = "Factory Storage", "storage account of the factory lab"
    FACTORY_MANIFESTS = "Factory Manifests", "storage account of the factory lab"
    FACTORY_SAS = "Factory SAS", "storage account of the factory lab"
    FACTORY_KEYS = "Factory Keys", "storage account of the factory lab"
    LAB = "Lab", "each target lab, or its resource group"
    LAB_MACHINES = "Lab Machines", "each target lab, or its resource group"
    LAB_STORAGE = "Lab Storage", "storage account of each target lab"
    STORAGE_ACCOUNTS = "Storage Accounts", "storage account of the factory lab, and of each target lab"
    STORAGE_KEYS = "Storage Keys", "storage account of the factory lab, and of each target lab"
    GALLERY = "Gallery", "the gallery, or its resource group if the stack creates it"
    GALLERY_GROUP = "Gallery Group", "resource group of a gallery that the stack creates"
    GALLERY_SUBSCRIPTION = "Gallery Subscription", "subscription of the gallery"
    LAB_GALLERIES = "Lab Galleries", "each lab that gets images by the gallery"

    @property
    def label(self) -> str:
        """The part of the names of roles."""
        return self.value[0]

    @property
    def scope(self) -> str:
        """Where to assign it, in words."""
        return self.value[1]


class Purpose(str, Enum):
    """What an identity is for."""

    PREVIEW = "preview"
    DISTRIBUTION = "distribution"
    ADOPTION = "adoption"
    SAVE = "save"
    CLEAN_VMS = "clean-vms"
    PRUNE = "prune"
    DOCTOR = "doctor"

    @property
    def label(self) -> str:
        """The part of the names of roles."""
        return {"clean-vms": "VM Cleanup", "doctor": "Check"}.get(self.value, self.value.capitalize())


class Option(str, Enum):
    """A way to run that needs other roles."""

    AAD = "aad"
    KEY = "key"
    MANIFESTS = "manifests"
    SERVICE = "service"
    GALLERY = "gallery"
    NEW_GALLERY = "new-gallery"
    KEEP_USED = "keep-used"
    DNS_ZONE = "dns-zone"

    @property
    def meaning(self) -> str:
        """When it applies, in words."""
        return {
            "aad": "`storageAuth: aad` (default)",
            "key": "`storageAuth: key`",
            "manifests": "recommended: the first copy of an image writes its ranges manifest",
            "service": "`copy.method: service`",
            "gallery": "`gallery`",
            "new-gallery": "`gallery` that the stack creates",
            "keep-used": "`keepUsedDays`",
            "dns-zone": "accounts with an endpoint in a DNS zone; of others, nothing depends on it",
        }[self.value]


@dataclass(frozen=True)
class Role:
    """The least that is needed for a purpose at a place; `option` None: always."""

    purpose: Purpose
    place: Place
    actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    option: Option | None = None

    @property
    def name(self) -> str:
        """The name of the custom role."""
        return f"Image Factory {self.purpose.label} {self.place.label}"

    @property
    def file(self) -> str:
        """The name of its file in docs/roles."""
        return f"{self.name.removeprefix('Image Factory ').lower().replace(' ', '-')}.json"


def blob_action(method: str, url: str) -> str:
    """Return the action that a request to the blob service needs; for a copy, that on the destination."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if query.get("comp") == "userdelegationkey":
        return DELEGATION_KEY
    verb = _VERBS.get(method.upper(), "write")
    return f"{CONTAINERS}/{verb}" if query.get("restype") == "container" and "comp" not in query else f"{BLOBS}/{verb}"


def blob_role(action: str) -> str:
    """Return the built-in role that is enough for an action of `blob_action`."""
    return BLOB_READER if action in {f"{BLOBS}/read", f"{CONTAINERS}/read", DELEGATION_KEY} else BLOB_CONTRIBUTOR
