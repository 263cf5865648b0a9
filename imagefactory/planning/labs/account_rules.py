"""What is wrong with a lab's storage account before anything is copied there. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from imagefactory.configuration.labs_file import TargetLab
from imagefactory.diagnostics import Diagnostic, Location, error, warning
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.observed.storage_accounts import AccountFacts

_SKIPPED = "no VHD can be staged, so the lab is skipped and keeps its images"


def account_findings(lab: TargetLab, facts: LabFacts) -> Iterator[Diagnostic]:
    """Yield an error if a lab cannot get images, otherwise warnings."""
    account, subject = facts.account, f"lab {lab.label}"
    if facts.storage_account_id is None:
        remedy = "Repair the lab in the portal, or remove its entry"
        yield error(subject, "has no storage account", _SKIPPED, remedy, lab.location)
    elif isinstance(account, Diagnostic):
        yield replace(account, location=lab.location)
    elif account and not account.holds_page_blobs:
        remedy = (
            f"Upgrade it: {_upgrade(account)}"
            if account.kind == "BlobStorage"
            else "VHDs are page blobs: recreate the lab with a general-purpose v2 account (kind StorageV2, Standard,"
            " without hierarchical namespace), or remove its entry"
        )
        yield error(subject, f"{_named(account)} cannot contain page blobs", _SKIPPED, remedy, lab.location)
    elif account:
        if retired := retired_kind(subject, account, lab.location):
            yield retired
        if narrow := narrow_copy_scope(subject, account, lab.location):
            yield narrow


def retired_kind(subject: str, account: AccountFacts, location: Location | None) -> Diagnostic | None:
    """Return the warning about an account of a kind that Azure retires."""
    if account.kind == "Storage":  # general-purpose v1
        fact = f"{_named(account)} is of a kind that Azure retires"
        return warning(subject, fact, "", f"Upgrade it: {_upgrade(account)}", location)
    return None


def narrow_copy_scope(subject: str, account: AccountFacts, location: Location | None) -> Diagnostic | None:
    """Return the warning about an account that not every account may copy to."""
    if account.allowed_copy_scope == "PrivateLink":
        fact = f"{_named(account)} permits copies from accounts with a private link to its own network only"
        remedy = "Give the factory's storage account such a link (see docs/tasks/networks.md#labs-behind-firewalls)"
        return warning(subject, fact, "copies from the factory may be refused", remedy, location)
    return None


def _upgrade(account: AccountFacts) -> str:
    return f"az storage account update --name {account.name} --set kind=StorageV2 --access-tier=Hot"


def _named(account: AccountFacts) -> str:
    kind = " with hierarchical namespace" if account.is_hierarchical else ""
    return f"its storage account '{account.name}' (kind {account.kind or 'unknown'}{kind})"
