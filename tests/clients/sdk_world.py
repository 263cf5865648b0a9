"""What the tests of Microsoft's SDKs share: a subscription of the embedded cloud, labs and VHDs in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.storage.blob import BlobServiceClient

from localcloud.client import CloudClient
from localcloud.vhd import MIB, footer

if TYPE_CHECKING:
    from azure.mgmt.compute import ComputeManagementClient
    from azure.mgmt.devtestlabs import DevTestLabsClient
    from azure.mgmt.devtestlabs.models import CustomImage

SUBSCRIPTION = str(uuid.uuid4())
GROUP = "labs"


@dataclass(frozen=True)
class SdkWorld:
    """The cloud and the clients of one test."""

    cloud: CloudClient
    accounts: Iterator[str]
    labs: DevTestLabsClient
    compute: ComputeManagementClient

    def seed(self, *labs: dict[str, Any]) -> None:
        """Add labs to the subscription."""
        about = {"resourceGroup": GROUP, "region": "westeurope", "storageAccount": None}
        document = {"subscriptionId": SUBSCRIPTION, "labs": [{**about, **lab} for lab in labs]}
        self.cloud.seed({"subscriptions": [document]})
        self.cloud.clear_calls()

    def lab(self, **more: Any) -> str:
        """Add a lab with a storage account; return its name."""
        name = f"lab{uuid.uuid4().hex[:8]}"
        self.seed({"name": name, "storageAccount": next(self.accounts), **more})
        return name

    def vhd(self, lab: str) -> str:
        """Write an empty VHD into the storage account of a lab; return its URL."""
        account = self.labs.labs.get(GROUP, lab).artifacts_storage_account.rpartition("/")[2]
        about = next(each for each in self.cloud.status()["storageAccounts"] if each["name"] == account)
        credential = {"account_name": account, "account_key": about["key"]}
        blob = BlobServiceClient(about["blobEndpoint"], credential).get_blob_client("vhds", f"{uuid.uuid4()}.vhd")
        container = blob._get_container_client()
        if not container.exists():
            container.create_container()
        blob.create_page_blob(MIB + 512)
        blob.upload_page(footer(MIB, uuid.uuid4()), offset=MIB, length=512)
        self.cloud.clear_calls()
        return str(blob.url)

    def polls(self) -> int:
        """How often an operation was polled since the journal was cleared."""
        return sum("operations/" in call["path"].lower() for call in self.cloud.calls())


def image_of(url: str, **more: Any) -> CustomImage:
    """A custom image from a sysprepped Windows VHD."""
    from azure.mgmt.devtestlabs.models import CustomImage, CustomImagePropertiesCustom

    return CustomImage(vhd=CustomImagePropertiesCustom(image_name=url, os_type="Windows", sys_prep=True), **more)
