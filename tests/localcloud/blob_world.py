"""Two storage accounts of the embedded cloud, and helpers for copies, shared by the tests of this folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, BlobProperties, BlobSasPermissions, ContainerClient, generate_blob_sas

from localcloud.client import CloudClient

MIB = 1024 * 1024
SIZE = 8 * MIB
PAGE = b"\x5a" * 512


@dataclass(frozen=True)
class Pair:
    """Two storage accounts with a container each; `source` contains a page blob with some pages."""

    cloud: CloudClient
    key: str
    source: BlobClient
    target: ContainerClient

    def url(self, lifetime: timedelta = timedelta(hours=1), **permission: bool) -> str:
        """Return the source's URL with a SAS (by default for reading)."""
        sas = generate_blob_sas(
            str(self.source.account_name),
            self.source.container_name,
            self.source.blob_name,
            account_key=self.key,
            permission=BlobSasPermissions(**(permission or {"read": True})),
            expiry=datetime.now(timezone.utc) + lifetime,
        )
        return f"{self.source.url}?{sas}"

    def copy(self, name: str = "copy.vhd", rule: Mapping[str, object] | None = None, **options: Any) -> BlobClient:
        """Start a copy to the target account; `rule` is the fault action that applies to it."""
        if rule is not None:
            self.cloud.set_faults([{"service": "blob", "path": f"/{name}$", "action": rule}])
        blob = self.target.get_blob_client(name)
        blob.start_copy_from_url(self.url(), **options)
        return blob

    def content(self) -> bytes:
        """Return the source's bytes."""
        return bytes(self.source.download_blob().readall())


def wait(blob: BlobClient, until: Callable[[BlobProperties], bool]) -> BlobProperties:
    """Return the blob's properties once they meet the condition."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        properties = blob.get_blob_properties()
        if until(properties):
            return properties
        time.sleep(0.02)
    raise AssertionError(f"the copy stayed {properties.copy.status} {properties.copy.progress}")


def ended(properties: BlobProperties) -> bool:
    """Return whether a copy is no longer pending."""
    return properties.copy.status != "pending"


def refusal(call: Callable[[], object]) -> tuple[int | None, str | None]:
    """Return HTTP status and error code of a call that must fail."""
    with pytest.raises(HttpResponseError) as caught:
        call()
    response: Any = caught.value.response
    return response.status_code, response.headers.get("x-ms-error-code")
