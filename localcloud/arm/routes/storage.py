"""The calls of the labs' storage accounts and resource groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from localcloud.account_facts import ORDINARY, FactsOf
from localcloud.arm.errors import ArmError, resource_not_found
from localcloud.arm.routes.responses import page
from localcloud.arm.routes.routing import GROUP, IN_SUBSCRIPTION, Parts, Route
from localcloud.arm.store import ArmStore, Lab
from localcloud.blobs.access import BlobAccess
from localcloud.rights import Assignments, Need

_ACCOUNTS = "Microsoft.Storage/storageAccounts"


class StorageRoutes:
    """One method per call; `blob_endpoint` returns the blob endpoint of an account."""

    def __init__(
        self,
        store: ArmStore,
        blobs: BlobAccess,
        blob_endpoint: Callable[[str], str],
        facts: FactsOf = lambda _: ORDINARY,
        assignments: Callable[[], Assignments] = Assignments,
    ) -> None:
        self._store, self._blobs, self._blob_endpoint, self._facts = store, blobs, blob_endpoint, facts
        self._assignments = assignments

    def routes(self) -> list[Route]:
        """Return the supported calls."""
        account = GROUP + r"/providers/microsoft\.storage/storageaccounts/(?P<account>[^/]+)"
        accounts = IN_SUBSCRIPTION + "storage/storageaccounts"
        return [
            Route("storage accounts", "list", "GET", accounts, self.list_accounts, filtered=True),
            Route("storage accounts", "get", "GET", account, self.get_account),
            Route("storage accounts", "listKeys", "POST", account + "/listkeys", self.list_keys),
            Route("resource groups", "get", "GET", GROUP, self.get_group),
        ]

    async def get_account(self, _: web.Request, parts: Parts) -> web.Response:
        """One storage account."""
        return web.json_response(self._shown(self._lab_of(parts)))

    async def list_accounts(self, request: web.Request, parts: Parts) -> web.Response:
        """The storage accounts of a subscription that the caller may read, paged.

        That Azure shows these, and does not reject a caller without a role for the whole subscription, is assumed.
        """
        labs = (lab for lab in self._store.labs.values() if lab.subscription_id == parts["subscription"])
        ids = {str(lab.storage_id).lower(): lab for lab in labs if lab.storage_account}
        permit = self._assignments().permit
        return page(request, {id: self._shown(lab) for id, lab in ids.items() if permit(Need(f"{_ACCOUNTS}/read", id))})

    async def list_keys(self, _: web.Request, parts: Parts) -> web.Response:
        """The keys of a storage account."""
        account = str(self._lab_of(parts).storage_account)
        try:
            key = await self._blobs.keys(account)
        except LookupError:
            raise resource_not_found(_ACCOUNTS, account, parts["group"]) from None
        names = ("key1", "key2")
        return web.json_response({"keys": [{"keyName": each, "value": key, "permissions": "FULL"} for each in names]})

    async def get_group(self, _: web.Request, parts: Parts) -> web.Response:
        """A resource group; its location is that of its first lab, if any."""
        known = self._store.find_group(parts["subscription"], parts["group"])
        if known is None:
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{parts['group']}' could not be found.")
        body = {
            "id": f"/subscriptions/{parts['subscription']}/resourceGroups/{known[0]}",
            "name": known[0],
            "type": "Microsoft.Resources/resourceGroups",
            "location": known[1],
            "properties": {"provisioningState": "Succeeded"},
        }
        return web.json_response(body)

    def _shown(self, lab: Lab) -> dict[str, Any]:
        """Return the storage account of a lab as ARM shows it."""
        name = str(lab.storage_account)
        facts = self._facts(name)
        shown = facts.to_arm()
        return {
            "id": lab.storage_id,
            "name": name,
            "type": _ACCOUNTS,
            "kind": shown["kind"],
            "sku": shown["sku"],
            "location": lab.region,
            "properties": {
                **shown["properties"],
                "primaryEndpoints": {"blob": f"{facts.blob_endpoint or self._blob_endpoint(name)}/"},
                "primaryLocation": lab.region,
                "provisioningState": "Succeeded",
                "statusOfPrimary": "available",
            },
        }

    def _lab_of(self, parts: Parts) -> Lab:
        """Return the first lab that uses the storage account. Raises ArmError."""
        lab = self._store.find_account(parts["subscription"], parts["group"], parts["account"])
        if lab is None:
            raise resource_not_found(_ACCOUNTS, parts["account"], parts["group"])
        return lab
