"""Calls of the embedded cloud's resource manager by a test, and what its journal has of the calls of others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import requests
from azure.storage.blob import BlobServiceClient

from localcloud.client import CloudClient

VERSION = "2018-09-15"

STAGING_CONTAINER = "imagefactory-staging"
_RESOURCES = (
    ("operation", r"/operations/[^/]+"),
    ("image", r"/customimages/[^/]+"),
    ("images of a lab", r"/customimages"),
    ("labs of a subscription", r"/subscriptions/[^/]+/providers/microsoft.devtestlab/labs"),
    ("accounts of a subscription", r"/subscriptions/[^/]+/providers/microsoft.storage/storageaccounts"),
    ("account", r"/storageaccounts/[^/]+"),
)


def request(status: Mapping[str, Any], method: str, target: str, body: Any = None) -> requests.Response:
    """One call of the resource manager of a cloud with that status; `target` is a path with its query, or a link."""
    token = requests.get(
        status["identityEndpoint"],
        params={"api-version": "2019-08-01", "resource": status["resourceManager"]},
        headers={"X-IDENTITY-HEADER": status["identityHeader"]},
        timeout=10,
    ).json()["access_token"]
    url = target if target.startswith("http") else f"{status['resourceManager']}{target}"
    return requests.request(method, url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=10)


def whole(status: Mapping[str, Any], method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON of a call that succeeds; of a list, all pages in one."""
    items: list[Any] = []
    url = f"{path}?api-version={VERSION}"
    while url:
        answer = request(status, method, url, body)
        answer.raise_for_status()
        page: dict[str, Any] = answer.json() if answer.content else {}
        items += page.get("value", [])
        url = page.get("nextLink", "")
    return {**page, "value": items} if "value" in page else page


def storage_account(cloud: CloudClient, status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A storage account in the status of a cloud; it may be newer than the given one."""
    known = {each["name"]: each for each in status["storageAccounts"]}
    if name not in known:
        known = {each["name"]: each for each in cloud.status()["storageAccounts"]}
    account: Mapping[str, Any] = known[name]
    return account


def blob_service(cloud: CloudClient, status: Mapping[str, Any], name: str) -> BlobServiceClient:
    """The blob service of a storage account, with its key."""
    account = storage_account(cloud, status, name)
    return BlobServiceClient(account["blobEndpoint"], {"account_name": name, "account_key": account["key"]})


def copies(cloud: CloudClient, container: str, accounts: Iterable[str]) -> int:
    """How many VHDs were begun in `container` of these storage accounts since the journal was cleared."""
    owners = set(accounts)
    return sum(
        1
        for call in cloud.calls()
        if call["service"] == "blob"
        and call["method"] == "PUT"
        and f"{container}/" in call["path"]
        and call["path"].split("/")[1] in owners
        and "comp=" not in call["path"]
        and "restype=" not in call["path"]
        and call["path"].partition("?")[0].endswith(".vhd")
        and call["status"] in {201, 202}
    )


def writes(cloud: CloudClient, lab_id: str) -> list[tuple[str, str, int]]:
    """The calls that write custom images of a lab since the journal was cleared: method, image, status (0: cut)."""
    images = f"{lab_id}/customimages/".lower()
    return [
        (call["method"], call["path"][len(images) :].partition("?")[0], call["status"])
        for call in cloud.calls()
        if call["method"] in {"PUT", "PATCH", "POST", "DELETE"} and call["path"].lower().startswith(images)
    ]


def taken_kinds(cloud: CloudClient) -> Counter[str]:
    """How many requests of each kind the journal has, which is then cleared.

    Without those for tokens, and those that write a range of a VHD.
    """
    found = Counter(
        f"{call['method']} {_blob(call['path']) if call['service'] == 'blob' else _resource(call['path'])}"
        for call in cloud.calls()
        if not (call["length"] or call["path"].startswith("/msi/"))
    )
    cloud.clear_calls()
    return found


def _resource(target: str) -> str:
    path = target.partition("?")[0].lower()
    return next((kind for kind, pattern in _RESOURCES if re.fullmatch(f".*{pattern}", path)), path)


def _blob(target: str) -> str:
    """What a request to a storage account is for: an operation, or else a file of the factory or of a staged VHD."""
    path, _, query = target.partition("?")
    operation = query.partition("comp=")[2].partition("&")[0]
    if operation or "restype" in query:
        return operation or "container"
    if path.endswith(".json"):
        return "companion"
    staged = STAGING_CONTAINER in path
    if path.endswith(".json.gz"):
        return "record" if staged else "manifest"
    return "staged" if staged else "vhd"
