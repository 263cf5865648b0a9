"""Checks of what the identity may do: sign-in, clock, subscriptions, permissions by scope, blobs read and written.

Each check is independent: what fails or takes too long is its own check's result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from imagefactory.aio.once import Once
from imagefactory.azure.core.errors import CloudError, cloud_error
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.core.signed_in import SignedIn, is_default_chain, method_of
from imagefactory.azure.permissions import Subscription, read_denials, read_permissions, read_subscription
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.probes import can_list, write_and_delete
from imagefactory.doctor.checks import FACTORY, STACK, Check, Outcome, of_diagnostic, too_late, unexpected
from imagefactory.doctor.roles import Denied, denied, is_conditional, missing
from imagefactory.errors import ImageFactoryError
from imagefactory.observed.permissions import Denial, Identity
from imagefactory.roles.actions import Place, Purpose, Role
from imagefactory.roles.purposes import role_of

REQUEST_SECONDS = 10.0
"""How long one request may take; the steps that wait for each other then end within a minute."""
_DENIALS_SECONDS = REQUEST_SECONDS - 2
"""Less than a check may take, so that one which also asks what is denied ends with what is permitted."""
WARN_SECONDS, FAIL_SECONDS = 60.0, 300.0
"""How far the clocks may differ. Microsoft Entra ID tolerates 5 minutes in the lifetime of a token ("Access tokens"); a
SAS of this project starts 15 minutes early, and its end counts by Azure's clock."""
READ, WRITE = "read blobs", "write blobs"

_ROLES = "see docs/permissions.md"
_DOCTOR = role_of(Place.SUBSCRIPTION, Purpose.DOCTOR)
_EXCLUDE = "Let whatever made the deny assignment (a deployment stack, a managed application) exclude this identity"


async def guarded(subject: str, name: str, work: Awaitable[Check], limit: float = REQUEST_SECONDS) -> Check:
    """Return the check that `work` returns, or that it failed, or was not done within `limit` seconds."""
    try:
        return await asyncio.wait_for(work, limit)
    except asyncio.TimeoutError:
        return too_late(subject, name, limit)
    except CloudError as refusal:
        found = of_diagnostic(subject, name, refusal.diagnostic)
        return found if refusal.status else Check(subject, name, "unknown", found.fact, found.remedy)
    except ImageFactoryError as problem:
        return Check(subject, name, "failure", str(problem), "Fix that")
    except Exception as problem:
        return unexpected(subject, name, problem)


def sign_in_check(arm: ResourceManager, who: SignedIn) -> Check:
    """Return who is signed in, and how."""
    method = method_of(arm.credential)
    if is_default_chain(arm.credential):
        fact = f"{who.text() or 'unknown identity'}, by {method}, in which azure-native may choose another way"
        remedy = "Set the ARM_* variables of one way (docs/reference.md#sign-in-variables)"
        return Check(STACK, "sign-in", "warning", fact, remedy)
    return Check(STACK, "sign-in", "ok", f"{who.text() or 'unknown identity'}, by {method}, as azure-native")


def clock_check(ahead: float | None) -> Check:
    """Return whether the clocks of Azure and of this machine agree."""
    name, remedy = "clock", "Set the clock of this machine (for example, turn on NTP)"
    if ahead is None:
        return Check(STACK, name, "unknown", "no response of Azure contained its time", "Run again")
    differ = f"this machine's clock is {abs(ahead):.0f} s {'behind' if ahead > 0 else 'ahead of'} Azure's"
    if abs(ahead) > FAIL_SECONDS:
        return Check(STACK, name, "failure", f"{differ}, so tokens and SAS are rejected", remedy)
    if abs(ahead) > WARN_SECONDS:
        return Check(STACK, name, "warning", differ, remedy)
    return Check(STACK, name, "ok", differ)


async def check_subscription(arm: ResourceManager, subscription_id: str, tenant: str) -> Check:
    """Return whether the subscription is found, enabled, and of the sign-in's tenant. Raises `CloudError`.

    Runs do not read it, so it is no failure if this identity may not.
    """
    name = f"subscription {subscription_id}"
    try:
        found = await read_subscription(arm, subscription_id)
    except CloudError as refusal:
        if refusal.status != 403:
            raise
        told = of_diagnostic(STACK, name, refusal.diagnostic)
        return Check(STACK, name, "unknown", told.fact, f"Grant {_DOCTOR.name}, which may read it ({_ROLES})")
    if found is None:
        fact, remedy = "does not exist, or this identity cannot see it", f"Check its id; {_DOCTOR.name} ({_ROLES})"
        return Check(STACK, name, "failure", fact, remedy)
    if found.state not in (None, "Enabled"):
        result: Outcome = "failure" if found.state in {"Disabled", "Deleted"} else "warning"
        return Check(STACK, name, result, f"its state is {found.state}", "Enable the subscription, or pay what is due")
    return tenant_check(name, found, tenant)


def tenant_check(name: str, found: Subscription, tenant: str) -> Check:
    """Return whether tokens of a tenant (empty: not known) count in a subscription: it is its own, or manages it.

    Azure rejects others (401 `InvalidAuthenticationTokenTenant`), mostly when the subscription is asked for. A guest is
    signed in to the tenant of the subscription; by Azure Lighthouse, the sign-in's tenant is in `managedByTenants`.
    """
    own, shown = (
        (found.tenant_id or "").lower(),
        f"{found.display_name or 'found'}, tenant {found.tenant_id or 'unknown'}",
    )
    if not own or not tenant or own == tenant.lower():
        return Check(STACK, name, "ok", shown if tenant else f"{shown}; that of the sign-in is not known")
    if any(each.tenant_id.lower() == tenant.lower() for each in found.managed_by_tenants or ()):
        fact = f"{shown}, which has delegated it to the sign-in's tenant {tenant} (Azure Lighthouse)"
        return Check(STACK, name, "ok", fact)
    fact = f"its tenant is {found.tenant_id}, and the sign-in is in tenant {tenant}, whose tokens Azure rejects there"
    remedy = f"Sign in to tenant {found.tenant_id} (ARM_TENANT_ID, or az login --tenant); one stack serves one tenant"
    return Check(STACK, name, "failure", f"{fact}; its labs cannot be read or get images", remedy)


@dataclass(frozen=True)
class Probes:
    """The checks at one scope (a subscription, lab or account) for a subject."""

    arm: ResourceManager
    accounts: StorageAccounts
    uses_keys: bool
    serves_copies: bool
    """Whether the service makes the copies (`copy.method: service`)."""
    who: SignedIn
    lists_machines: bool = False
    """Whether the VMs of labs are listed (setting `keepUsedDays`)."""
    _asked: Once[str, tuple[Denial, ...] | CloudError] = field(default_factory=Once)
    """Deny assignments by subscription: one request serves all its labs."""

    async def permission(self, subject: str, name: str, scope: str, role: Role, lacking: Outcome = "failure") -> Check:
        """Return whether the identity may do all of a role at a scope; `lacking` is the result if it may not.

        Raises `CloudError`.
        """
        what = scope.rpartition("/")[2]
        try:
            found = await read_permissions(self.arm, scope, f"permissions on {what}")
        except CloudError as refusal:
            told = of_diagnostic(subject, name, refusal.diagnostic)
            remedy = f"Grant {_DOCTOR.name}, which may ask ({_ROLES})" if refusal.status == 403 else told.remedy
            return Check(subject, name, "unknown", told.fact, remedy)
        denials = await self._denials(scope.split("/")[2])
        at_scope = () if isinstance(denials, CloudError) else (each for each in denials if each.is_at(scope))
        taken = list(denied(role, at_scope, self._identity))
        facts, remedies = [f"{_denied(each)} on {what}" for each in taken], [_EXCLUDE] if taken else []
        if lacks := missing(role, found):
            facts.insert(0, f"not permitted on {what}: {', '.join(lacks)}")
            remedies.insert(0, f"Grant the role {role.name} on {what} ({_ROLES})")
        if facts:
            result: Outcome = lacking if lacks or any(each.certain for each in taken) else "warning"
            return Check(subject, name, result, "; ".join(facts), ". ".join(remedies))
        if is_conditional(role, found):
            fact = f"all of {role.name} is permitted on {what}, part of it under a condition that is not evaluated"
            return Check(subject, name, "warning", fact, "Check the condition of the role assignment")
        return Check(subject, name, "ok", f"all of {role.name} is permitted on {what}")

    async def denials(self, subscription_id: str) -> Check:
        """Return whether it is known what is denied in a subscription; what it concerns is in the other checks."""
        name, found = f"deny assignments of subscription {subscription_id}", await self._denials(subscription_id)
        if not isinstance(found, CloudError):
            return Check(STACK, name, "ok", f"{len(found)} there and below, considered in the permissions")
        told = of_diagnostic(STACK, name, found.diagnostic)
        remedy = f"Grant {_DOCTOR.name}, which may read them ({_ROLES})" if found.status == 403 else told.remedy
        return Check(STACK, name, "unknown", told.fact, remedy)

    async def _denials(self, subscription_id: str) -> tuple[Denial, ...] | CloudError:
        async def ask() -> tuple[Denial, ...] | CloudError:
            try:
                return await asyncio.wait_for(read_denials(self.arm, subscription_id), _DENIALS_SECONDS)
            except asyncio.TimeoutError:
                subject = f"deny assignments of subscription {subscription_id}"
                return cloud_error(subject, f"no response from Azure within {_DENIALS_SECONDS:g} s")
            except CloudError as refusal:
                return refusal

        return await self._asked.get(subscription_id.lower(), ask)

    @property
    def _identity(self) -> Identity:
        return Identity(self.who.object_id, self.who.groups)

    async def read(self, subject: str, account_id: str, container: str) -> Check:
        """Return whether blobs can be read, by a listing. Raises `CloudError`."""
        exists = await can_list(self.accounts, account_id, container)
        return Check(
            subject, READ, "ok", f"container {container} {'can be listed' if exists else 'does not exist yet'}"
        )

    async def may_write(self, subject: str, account_id: str) -> Check:
        """Return whether blobs can be written, by the roles. Raises `CloudError`."""
        untried = "not tried (--write-probe tries it)"
        if self.uses_keys:
            return Check(subject, WRITE, "ok", f"an account key permits it; {untried}")
        factory = role_of(Place.FACTORY_STORAGE, Purpose.SAVE)
        found = await self.permission(
            subject, WRITE, account_id, factory if subject == FACTORY else role_of(Place.LAB_STORAGE)
        )
        return replace(found, fact=f"{found.fact}; {untried}") if found.result == "ok" else found

    async def write(self, account_id: str, container: str) -> Check:
        """Write a blob and delete it. Raises `CloudError`."""
        await write_and_delete(self.accounts, account_id, container)
        return Check("", WRITE, "ok", "a page blob of 512 bytes was written and deleted")

    def at_subscription(self, subscription_id: str) -> Mapping[str, Callable[[], Awaitable[Check]]]:
        """Return the checks of a subscription, by name."""
        scope, name = f"/subscriptions/{subscription_id}", f"permissions on subscription {subscription_id}"
        return {
            f"subscription {subscription_id}": lambda: check_subscription(self.arm, subscription_id, self.who.tenant),
            name: lambda: self.permission(STACK, name, scope, role_of(Place.SUBSCRIPTION)),
            f"deny assignments of subscription {subscription_id}": lambda: self.denials(subscription_id),
        }

    def at_lab(self, subject: str, lab_id: str, subscription_id: str) -> Mapping[str, Callable[[], Awaitable[Check]]]:
        """Return the checks of the permissions on a lab, by name; on the factory they concern a save only."""
        if subject != FACTORY:
            of_lab = {"permissions on the lab": role_of(Place.LAB)}
            if self.lists_machines:
                of_lab["permission to read VMs of the lab"] = role_of(Place.LAB_MACHINES)
            return {name: partial(self.permission, subject, name, lab_id, role) for name, role in of_lab.items()}
        scope = f"/subscriptions/{subscription_id}"
        roles = {
            "permissions to save": role_of(Place.FACTORY_MACHINES, Purpose.SAVE),
            "permission to read disk operations": role_of(Place.FACTORY_SUBSCRIPTION, Purpose.SAVE),
            "permissions to delete VMs": role_of(Place.FACTORY_MACHINES, Purpose.CLEAN_VMS),
        }
        return {name: partial(self.permission, subject, name, scope, role, "warning") for name, role in roles.items()}

    def at_account(self, subject: str, account_id: str) -> Mapping[str, Callable[[], Awaitable[Check]]]:
        """Return the checks of the permissions on a storage account but for blobs, by name."""
        keys, sas = (role_of(each) for each in (Place.STORAGE_KEYS, Place.FACTORY_SAS))
        if self.uses_keys:
            name = "permission to read keys"
            return {name: lambda: self.permission(subject, name, account_id, keys)}
        if self.serves_copies and subject == FACTORY:
            name = "permission to sign a SAS"
            return {name: lambda: self.permission(subject, name, account_id, sas)}
        return {}


def _denied(found: Denied) -> str:
    how = "denies" if found.certain else "may deny this identity (by a group or a condition)"
    return f"deny assignment '{found.assignment}' {how} {', '.join(found.actions)}"


def of_writing(subject: str, check: Check) -> Check:
    """Return the check of a write for a subject: a factory that cannot be written to serves its labs all the same."""
    if subject != FACTORY or check.result != "failure":
        return replace(check, subject=subject)
    fact = f"{check.fact}; the first copy of an image cannot leave its ranges manifest there, nor can images be saved"
    return Check(FACTORY, check.name, "warning", fact, check.remedy)
