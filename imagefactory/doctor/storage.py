"""Checks of a lab and its storage account from what the resource manager shows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imagefactory.azure.core.refusals import remedy
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.diagnostics import Diagnostic, Severity
from imagefactory.doctor.checks import FACTORY, Check, of_diagnostic
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.observed.storage_accounts import AccountFacts
from imagefactory.planning.labs.account_rules import account_findings, narrow_copy_scope

ACCOUNT, NETWORK, KEYS, SCOPE = "storage account", "network rules", "shared keys", "copy scope"
_FIREWALLS = "docs/tasks/networks.md#labs-behind-firewalls"


def lab_check(subject: str, facts: LabFacts | Diagnostic, factory: LabFacts | Diagnostic) -> Check:
    """Return whether the lab was found, and where it is."""
    if isinstance(facts, Diagnostic):
        return of_diagnostic(subject, "lab", facts)
    fact = f"{facts.name} of resource group {facts.resource_group}, {facts.region}"
    if isinstance(factory, LabFacts) and facts.region_key != factory.region_key:
        fact += f" (the factory is in {factory.region})"
    return Check(subject, "lab", "ok", fact)


def account_checks(
    subject: str, lab: TargetLab, facts: LabFacts, sharing: Sequence[str], readable: Check, *, uses_keys: bool
) -> Iterator[Check]:
    """Yield the checks of a lab's storage account.

    `lab` is its entry, for places in labs.json; `sharing` are the subjects that have the same account; `readable` is
    the check of an attempt to read blobs there.
    """
    account = facts.account
    worst = min(account_findings(lab, facts), key=lambda each: each.severity is not Severity.ERROR, default=None)
    if isinstance(account, Diagnostic) or account is None:
        if worst:
            yield of_diagnostic(subject, ACCOUNT, worst)
        return
    narrow = narrow_copy_scope(f"lab {lab.label}", account, lab.location)
    if worst and worst != narrow:
        yield of_diagnostic(subject, ACCOUNT, worst)
    else:
        owner = f"shared with {', '.join(sharing)}" if sharing else "of this lab alone"
        where = f", {account.region}" if account.region else ""
        yield Check(subject, ACCOUNT, "ok", f"{account.name} (kind {account.kind or 'unknown'}{where}), {owner}")
    yield network_check(subject, account, readable)
    yield keys_check(subject, account, uses_keys=uses_keys)
    if subject == FACTORY:  # its account is the source of copies
        return
    if narrow:
        yield of_diagnostic(subject, SCOPE, narrow)
    else:
        fact = (
            "copies from accounts of its tenant" if account.allowed_copy_scope == "AAD" else "copies from any account"
        )
        yield Check(subject, SCOPE, "ok", f"{account.name} permits {fact}")


def network_check(subject: str, account: AccountFacts, readable: Check) -> Check:
    """Return whether the network rules of an account admit this machine, and DevTest Labs."""
    if not account.is_closed:
        return Check(subject, NETWORK, "ok", f"{account.name} admits public networks")
    denies = f"{account.name} denies public networks"
    if readable.result == "failure" and "AuthorizationFailure" in readable.fact:
        return Check(
            subject, NETWORK, "failure", f"{denies} and this machine", remedy(403, "AuthorizationFailure", account.name)
        )
    if subject != FACTORY and not account.trusts_azure:
        fact = f"{denies} and does not except trusted services such as DevTest Labs"
        advice = f'Allow "trusted Microsoft services" (bypass AzureServices; see {_FIREWALLS})'
        return Check(subject, NETWORK, "warning", fact, advice)
    if readable.result == "ok":
        return Check(subject, NETWORK, "ok", f"{denies} and admits this machine")
    fact = f"{denies}; whether it admits this machine is not known"
    return Check(subject, NETWORK, "unknown", fact, remedy(403, "AuthorizationFailure", account.name))


def keys_check(subject: str, account: AccountFacts, *, uses_keys: bool) -> Check:
    """Return whether the account allows what `storageAuth` asks of it."""
    if account.allows_keys:
        used = "and storageAuth is key" if uses_keys else "and storageAuth is aad, which needs none"
        return Check(subject, KEYS, "ok", f"{account.name} allows them, {used}")
    if uses_keys:
        fact = f"{account.name} forbids them (allowSharedKeyAccess), and storageAuth is key"
        return Check(subject, KEYS, "failure", fact, remedy(403, "KeyBasedAuthenticationNotPermitted", account.name))
    return Check(subject, KEYS, "ok", f"{account.name} forbids them, and storageAuth is aad, which needs none")
