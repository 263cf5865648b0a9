"""The state backend `azblob://` of Pulumi: where it is, how it is opened, and the locks of a stack in it.

Reads the URL and the variables as Pulumi does (pkg/backend/diy/backend.go of version 3.259, which opens it with
azureblob.go of gocloud.dev). Without an own way in (key, SAS, connection string), Pulumi signs in by Go's default
chain, and this module with the run's identity, whose token it sends to hosts of Azure only. Takes and deletes no lock.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from azure.core.exceptions import AzureError
from azure.storage.blob.aio import ContainerClient

from imagefactory.azure.core.answers import SDK_FAILURES, misfit
from imagefactory.azure.core.clouds import CLOUDS, Cloud
from imagefactory.azure.core.credentials import credential
from imagefactory.azure.core.errors import cloud_error, error_code, from_azure
from imagefactory.azure.core.refusals import ABSENT
from imagefactory.azure.storage.access import Bearer, Secret
from imagefactory.azure.storage.account_openers import STORAGE_SCOPE
from imagefactory.azure.storage.accounts import REST_VERSION
from imagefactory.azure.storage.openers import check_encrypted, client_options
from imagefactory.loopback import LOOPBACK

SCHEME = "azblob"
_DOMAIN = "blob.core.windows.net"
_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
"""What Go's strconv.ParseBool reads as true."""
_HOST = re.compile(r"[a-z0-9.-]+")
"""A host that all parsers of URLs see alike."""
_LARGEST = 64 * 1024
_UNREAD = "it is not known whether the state is locked"


@dataclass(frozen=True)
class StateContainer:
    """A container with the state: `endpoint` is that of its account, `prefix` what all its blobs begin with.

    `key`, `sas` and `connection` are empty unless that is the way in.
    """

    endpoint: str
    account: str
    container: str
    prefix: str = ""
    key: str = field(default="", repr=False)
    key_account: str = ""
    sas: str = field(default="", repr=False)
    connection: str = field(default="", repr=False)

    @property
    def way(self) -> str:
        """The variable with which Pulumi and this module open it; empty: each signs in."""
        if self.key:
            return "AZURE_STORAGE_KEY"
        return "AZURE_STORAGE_SAS_TOKEN" if self.sas else "AZURE_STORAGE_CONNECTION_STRING" if self.connection else ""

    @property
    def place(self) -> str:
        """How to name it."""
        return f"container '{self.container}' of storage account '{self.account}'"

    @property
    def takes_tokens(self) -> bool:
        """Whether its host is one of Azure, or of this machine."""
        host = urlsplit(self.endpoint).hostname or ""
        zones = [cloud.blob_endpoint.rpartition("{account}")[2] for cloud in CLOUDS.values()]
        return host in LOOPBACK or (bool(_HOST.fullmatch(host)) and host.endswith((*zones, ".blob.storage.azure.net")))


def state_container(url: str, environment: Mapping[str, str] = os.environ) -> StateContainer | None:
    """Return the container that the URL of a backend names; None if it names no account, or is not valid.

    Parameters of the URL replace variables.
    """
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        return None
    connections = ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGEBLOB_CONNECTIONSTRING")
    connection = next((environment[name] for name in connections if environment.get(name)), "")
    told = dict(part.split("=") for part in connection.split(";") if part.count("=") == 1)

    def setting(parameter: str, variable: str, otherwise: str = "") -> str:
        value = given.get(parameter, environment.get(variable, ""))
        return value or (otherwise if parameter not in given else "")

    account = setting("storage_account", "AZURE_STORAGE_ACCOUNT", told.get("AccountName", ""))
    domain = setting("domain", "AZURE_STORAGE_DOMAIN") or _DOMAIN
    protocol = setting("protocol", "AZURE_STORAGE_PROTOCOL", told.get("DefaultEndpointsProtocol", "")) or "https"
    if parts.scheme != SCHEME or not account or not parts.netloc:
        return None
    if domain.startswith(("127.0.0.1", "localhost")) or setting("localemu", "AZURE_STORAGE_IS_LOCAL_EMULATOR") in _TRUE:
        endpoint = f"{protocol}://{domain}/{account}"
    elif setting("cdn", "AZURE_STORAGE_IS_CDN") in _TRUE:
        endpoint = f"{protocol}://{domain}"
    else:
        endpoint = f"{protocol}://{account}.{domain}"
    folder = unquote(parts.path).lstrip("/")
    way: dict[str, str] = {}
    own, key = environment.get("AZURE_STORAGE_ACCOUNT"), environment.get("AZURE_STORAGE_KEY")
    if own and key:
        way = {"key": key, "key_account": own}
    elif sas := environment.get("AZURE_STORAGE_SAS_TOKEN"):
        way = {"sas": sas}
    elif connection:
        way = {"connection": connection}
    prefix = folder if folder.endswith("/") or not folder else f"{folder}/"
    return StateContainer(endpoint, account, parts.netloc, prefix, **way)


async def locks_in(place: StateContainer, cloud: Cloud, project: str, stack: str) -> dict[str, bytes]:
    """Return the locks of a stack, by name: each is a JSON document of pid, username, hostname and timestamp.

    pkg/backend/diy/lock.go: `.pulumi/locks/organization/<project>/<stack>/<id>.json`. Raises `ImageFactoryError`.
    """
    folder = f"{place.prefix}.pulumi/locks/organization/{project}/{stack}/"
    subject = f"state in {place.place}"
    found: dict[str, bytes] = {}
    try:
        async with _opened(place, cloud, subject) as client:
            names = [name async for name in client.list_blob_names(name_starts_with=folder)]
            for name in names:
                try:
                    stream = await client.download_blob(name, offset=0, length=_LARGEST)
                    found[name.rpartition("/")[2]] = await stream.readall()
                except AzureError as error:
                    if error_code(error) not in ABSENT:  # else the run ended meanwhile
                        raise
    except AzureError as error:
        if error_code(error) in ABSENT:
            return {}
        raise from_azure(error, subject, _UNREAD, account=place.account) from error
    except SDK_FAILURES:
        raise misfit(subject, f"GET {place.container}?comp=list", "it is not as documented").so(_UNREAD) from None
    return found


@asynccontextmanager
async def _opened(place: StateContainer, cloud: Cloud, subject: str) -> AsyncIterator[ContainerClient]:
    options: dict[str, Any] = client_options(REST_VERSION)
    if place.connection and not (place.key or place.sas):
        try:
            client = ContainerClient.from_connection_string(place.connection, place.container, **options)
        except ValueError:  # its text could contain the key
            fact, remedy = "the connection string is not valid", "Fix AZURE_STORAGE_CONNECTION_STRING"
            raise cloud_error(subject, fact, consequence=_UNREAD, remedy=remedy) from None
        async with client:
            yield client
        return
    check_encrypted(place.endpoint, place.account)
    if place.key or place.sas:
        key = {"account_name": place.key_account, "account_key": place.key}
        async with ContainerClient(
            place.endpoint, place.container, key if place.key else place.sas, **options
        ) as client:
            yield client
        return
    if not place.takes_tokens:
        fact = f"{urlsplit(place.endpoint).hostname} is no host of Azure, so no token is sent there"
        raise cloud_error(subject, fact, consequence=_UNREAD, remedy="Check the domain in the URL of the backend")
    async with credential(cloud) as identity:

        async def token() -> Secret:
            return Secret((STORAGE_SCOPE,), f"Bearer {(await identity.get_token(STORAGE_SCOPE)).token}")

        options = client_options(REST_VERSION, Bearer(token, lambda _: None))
        async with ContainerClient(place.endpoint, place.container, **options) as client:
            yield client
