"""The storage accounts of labs, as facts for the plan: one listing for each subscription with several of them.

An account that the listing does not show, or that is the only one of its subscription, is requested by itself. An
account that this identity may not see is a warning, because copies need no such permission; one that does not exist, or
cannot be read, makes its lab a `Diagnostic`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from imagefactory.azure.core.answers import fitted
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.account_openers import API_VERSION, Account
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.diagnostics import Diagnostic, Severity, error
from imagefactory.observed.arm_ids import STORAGE_ACCOUNT
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
    listed = await _listed(arm, ids.values())
    single = (_account(arm, each, listed.get(key)) for key, each in ids.items())
    found = dict(zip(ids, await asyncio.gather(*single), strict=True))
    return {key: _joined(lab, found) for key, lab in labs.items()}


def _joined(lab: LabFacts | Diagnostic, found: Mapping[str, AccountFacts | Diagnostic]) -> LabFacts | Diagnostic:
    if isinstance(lab, Diagnostic) or not lab.storage_account_id:
        return lab
    account = found[lab.storage_account_id.lower()]
    if isinstance(account, Diagnostic) and account.severity is Severity.ERROR:
        return replace(account, subject=f"lab '{lab.name}'", fact=f"{account.subject}: {account.fact}")
    return replace(lab, account=account)


async def _listed(arm: ResourceManager, account_ids: Iterable[str]) -> dict[str, Account]:
    """Return the accounts of the subscriptions that have several of these, by id in lower case."""
    parsed = (STORAGE_ACCOUNT.parse(each) for each in account_ids)
    number = Counter(id.subscription_id.lower() for id in parsed if id)
    several = (subscription for subscription, accounts in number.items() if accounts > 1)
    found: dict[str, Account] = {}
    for accounts in await asyncio.gather(*(_of_subscription(arm, each) for each in several)):
        found |= accounts
    return found


async def _of_subscription(arm: ResourceManager, subscription: str) -> dict[str, Account]:
    """Return the accounts that a subscription lists; none if that fails: a request for each says why."""
    subject, path = f"subscription {subscription}", f"/subscriptions/{subscription}/providers/{STORAGE_ACCOUNT.title}"
    found: dict[str, Account] = {}
    with suppress(CloudError):
        for each in await arm.list(path, API_VERSION, subject=subject) or ():
            if id := STORAGE_ACCOUNT.of(each):
                with suppress(CloudError):
                    found[id.text.lower()] = fitted(Account, each, subject, f"GET {path}")
    return found


async def _account(arm: ResourceManager, account_id: str, listed: Account | None) -> AccountFacts | Diagnostic:
    name = account_id.rpartition("/")[2]
    if listed:
        return _facts(name, listed)
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
