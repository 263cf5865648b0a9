"""The storage accounts of labs, as facts for the plan: one request for each account, concurrently.

An account that this identity may not see is a warning, because copies need no such permission; one that does not exist,
or cannot be read, makes its lab a `Diagnostic`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.account_openers import API_VERSION, Account
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.diagnostics import Diagnostic, Severity, error
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.observed.storage_accounts import AccountFacts

Key = TypeVar("Key")

_UNCHECKED = "its kind is not checked before VHDs are copied there"
_READER = "Grant this identity Microsoft.Storage/storageAccounts/read on it (see docs/permissions.md)"


def learn_endpoints(accounts: StorageAccounts, labs: Iterable[LabFacts | Diagnostic]) -> None:
    """Use the endpoints of the labs' accounts from now on."""
    for lab in labs:
        if isinstance(lab, LabFacts) and lab.storage_account_id and lab.blob_endpoint:
            accounts.learn(lab.storage_account_id, lab.blob_endpoint)


async def with_accounts(
    arm: ResourceManager, labs: Mapping[Key, LabFacts | Diagnostic]
) -> dict[Key, LabFacts | Diagnostic]:
    """Return the same labs with the facts of their storage accounts."""
    read = (lab.storage_account_id for lab in labs.values() if isinstance(lab, LabFacts))
    ids = {each.lower(): each for each in read if each}
    found = dict(zip(ids, await asyncio.gather(*(_account(arm, each) for each in ids.values())), strict=True))
    return {key: _joined(lab, found) for key, lab in labs.items()}


def _joined(lab: LabFacts | Diagnostic, found: Mapping[str, AccountFacts | Diagnostic]) -> LabFacts | Diagnostic:
    if isinstance(lab, Diagnostic) or not lab.storage_account_id:
        return lab
    account = found[lab.storage_account_id.lower()]
    if isinstance(account, Diagnostic) and account.severity is Severity.ERROR:
        return replace(account, subject=f"lab '{lab.name}'", fact=f"{account.subject}: {account.fact}")
    return replace(lab, account=account)


async def _account(arm: ResourceManager, account_id: str) -> AccountFacts | Diagnostic:
    name = account_id.rpartition("/")[2]
    subject = f"storage account '{name}'"
    try:
        found = await arm.get(account_id, API_VERSION, Account, subject=subject)
    except CloudError as refusal:
        if refusal.status != 403:
            return refusal.diagnostic
        unseen = replace(refusal.diagnostic, consequence=_UNCHECKED, remedy=_READER)
        return replace(unseen, severity=Severity.WARNING)
    if found is None:
        return error(subject, "does not exist", "", "Repair the lab in the portal, or remove its entry")
    return _facts(name, found)


def _facts(name: str, account: Account) -> AccountFacts:
    told = account.properties
    rules = told and told.network_acls
    is_public = not told or told.public_network_access in (None, "Enabled")
    return AccountFacts(
        name=name,
        kind=account.kind or "",
        is_hierarchical=told is not None and told.is_hns_enabled is True,
        allowed_copy_scope=(told and told.allowed_copy_scope) or "",
        blob_endpoint=account.blob_endpoint,
        region=account.location or "",
        is_closed=not is_public or bool(rules and rules.default_action == "Deny"),
        trusts_azure=not rules or rules.bypass is None or "AzureServices" in rules.bypass,
        allows_keys=not told or told.allow_shared_key_access is not False,
    )
