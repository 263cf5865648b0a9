"""The Azure clouds that the product knows, and the endpoints that follow from each.

Owns names and addresses only; makes no request. The endpoints are those of azure-cli's cloud profiles
(`az cloud list`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError
from imagefactory.observed.arm_ids import is_account_name

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where one Azure cloud answers.

    `resource_manager` is the ARM endpoint without a trailing slash, `blob_endpoint` a template with `{account}` for a
    storage account's blob service, `authority` the host that gives tokens (None: azure-identity's default), `audience`
    whom a token for the resource manager is for (None: its endpoint), `name` what azure-native's `environment` calls it
    (None for given endpoints).
    """

    name: str | None
    resource_manager: str
    blob_endpoint: str
    authority: str | None = None
    audience: str | None = None

    @property
    def scope(self) -> str:
        """The token scope of the resource manager."""
        return f"{self.audience or self.resource_manager}/.default"

    @property
    def loopback(self) -> bool:
        """Whether the resource manager is on this machine, the only place where plain HTTP may carry a token."""
        return urlsplit(self.resource_manager).hostname in LOOPBACK

    def blob_service(self, account: str) -> str:
        """The blob service URL of a storage account, without a trailing slash.

        Raises `ImageFactoryError` for what is not the name of one: it would name another host, and tokens go there.
        """
        if not is_account_name(account):
            fact, remedy = "it is not the name of a storage account", "Check the id of the storage account that has it"
            raise ImageFactoryError(error(f"'{account}'", fact, "nothing is read or written there", remedy).message())
        return self.blob_endpoint.replace("{account}", account)


CLOUDS = {
    "public": Cloud(
        "public",
        "https://management.azure.com",
        "https://{account}.blob.core.windows.net",
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
    """The cloud that a stack's settings name, with the endpoints that they give in place of its own."""
    given = settings.endpoints
    base = CLOUDS.get(settings.cloud, Cloud(None, "", ""))
    return replace(
        base,
        resource_manager=(given.resource_manager or base.resource_manager).rstrip("/"),
        blob_endpoint=(given.blob or base.blob_endpoint).rstrip("/"),
    )
