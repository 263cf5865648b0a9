"""The supported Azure clouds and their endpoints, which are those of azure-cli's cloud profiles (`az cloud list`).

Does not send requests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError
from imagefactory.loopback import LOOPBACK
from imagefactory.observed.arm_ids import is_account_name

_PUBLIC_BLOBS = "https://{account}.blob.core.windows.net"
_ZONE = re.compile(r"(?P<endpoint>https://(?P<account>[a-z0-9]{3,24})\.z\d\d\.blob\.storage\.azure\.net)(?:/|$)")


@dataclass(frozen=True, slots=True)
class Cloud:
    """The endpoints of one Azure cloud.

    `resource_manager` is the ARM endpoint without a trailing slash, `blob_endpoint` a template with `{account}` for a
    storage account's blob service, `authority` the host that issues tokens (None: azure-identity's default), `audience`
    that of a token for the resource manager (None: its endpoint), `name` the value of azure-native's `environment`
    (None for custom endpoints).
    """

    name: str | None
    resource_manager: str
    blob_endpoint: str
    authority: str | None = None
    audience: str | None = None

    @property
    def scope(self) -> str:
        """Token scope of the resource manager."""
        return f"{self.audience or self.resource_manager}/.default"

    @property
    def loopback(self) -> bool:
        """Whether the resource manager is on this machine; only there may plain HTTP carry a token."""
        return urlsplit(self.resource_manager).hostname in LOOPBACK

    def blob_service(self, account: str) -> str:
        """Return the blob service URL of a storage account, without a trailing slash.

        Raises `ImageFactoryError` if the name is not valid: the URL would have another host, which would get tokens.
        """
        if not is_account_name(account):
            fact, remedy = "is not the name of a storage account", "Check the id of the storage account with this name"
            raise ImageFactoryError(error(f"'{account}'", fact, "nothing is read or written there", remedy).message())
        return self.blob_endpoint.replace("{account}", account)

    def endpoint_of(self, account: str, told: str) -> str:
        """Return the blob service URL of a storage account, without a trailing slash.

        That is `blob_service`, unless `told`, what the resource manager says or a URL below it, is in a DNS zone of
        Azure (documentation of Azure DNS zone endpoints): no other host gets a token. Raises as `blob_service` does.
        """
        own, zone = self.blob_service(account), _ZONE.match(told)
        in_zone = zone is not None and zone["account"] == account.lower() and self.blob_endpoint == _PUBLIC_BLOBS
        return zone["endpoint"] if zone and in_zone else own


CLOUDS = {
    "public": Cloud(
        "public",
        "https://management.azure.com",
        _PUBLIC_BLOBS,
        "login.microsoftonline.com",
    ),
    "usgovernment": Cloud(
        "usgovernment",
        "https://management.usgovcloudapi.net",
        "https://{account}.blob.core.usgovcloudapi.net",
        "login.microsoftonline.us",
        "https://management.core.usgovcloudapi.net",
    ),
    "china": Cloud(
        "china",
        "https://management.chinacloudapi.cn",
        "https://{account}.blob.core.chinacloudapi.cn",
        "login.chinacloudapi.cn",
    ),
}


def cloud_of(settings: Settings) -> Cloud:
    """Return the cloud of a stack's settings; their endpoints, if set, replace the cloud's own."""
    endpoints = settings.endpoints
    base = CLOUDS.get(settings.cloud, Cloud(None, "", ""))
    return replace(
        base,
        resource_manager=(endpoints.resource_manager or base.resource_manager).rstrip("/"),
        blob_endpoint=(endpoints.blob or base.blob_endpoint).rstrip("/"),
    )
