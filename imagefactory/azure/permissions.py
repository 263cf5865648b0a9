"""What the run's identity may do, what is denied, and the subscriptions: one request for each scope. Does not judge."""

from __future__ import annotations

from pydantic import Field

from imagefactory.azure.core.answers import Answer, fitted
from imagefactory.azure.core.errors import not_found
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.observed.permissions import Denial, Permission, Principal

API_VERSION = "2022-04-01"
"""Of Microsoft.Authorization: "Azure Permissions For Resource - List", all permissions of the caller, and "Deny
Assignments - List", which without a filter are those at, above and below a subscription."""
SUBSCRIPTION_VERSION = "2022-12-01"


class _Permission(Answer):
    actions: tuple[str, ...] | None = Field(None, strict=False)
    not_actions: tuple[str, ...] | None = Field(None, strict=False)
    data_actions: tuple[str, ...] | None = Field(None, strict=False)
    not_data_actions: tuple[str, ...] | None = Field(None, strict=False)
    condition: str | None = None

    def value(self, condition: str | None = None) -> Permission:
        return Permission(
            self.actions or (),
            self.not_actions or (),
            self.data_actions or (),
            self.not_data_actions or (),
            bool(self.condition or condition),
        )


class _Principal(Answer):
    id: str | None = None
    type: str | None = None


class _DenialProperties(Answer):
    deny_assignment_name: str | None = None
    permissions: list[_Permission] | None = None
    scope: str
    do_not_apply_to_child_scopes: bool | None = None
    principals: list[_Principal] | None = None
    exclude_principals: list[_Principal] | None = None
    condition: str | None = None


class _Denial(Answer):
    name: str | None = None
    properties: _DenialProperties


class _Tenant(Answer):
    tenant_id: str


class Subscription(Answer):
    """A subscription as the resource manager shows it."""

    display_name: str | None = None
    state: str | None = None
    """Enabled, Warned, PastDue, Disabled or Deleted."""
    tenant_id: str | None = None
    managed_by_tenants: list[_Tenant] | None = None
    """The tenants to which it is delegated (Azure Lighthouse)."""


async def read_permissions(arm: ResourceManager, scope: str, subject: str) -> tuple[Permission, ...]:
    """Return what the identity may do at a scope, by its ARM id. Raises `CloudError`."""
    path = f"{scope}/providers/Microsoft.Authorization/permissions"
    items = await arm.list(path, API_VERSION, subject=subject)
    if items is None:
        raise not_found(subject)
    found = (fitted(_Permission, each, subject, f"GET {path}") for each in items)
    return tuple(each.value() for each in found)


async def read_denials(arm: ResourceManager, subscription_id: str) -> tuple[Denial, ...]:
    """Return the deny assignments at, above and below a subscription, whomever they concern. Raises `CloudError`."""
    subject = f"deny assignments of subscription {subscription_id}"
    path = f"/subscriptions/{subscription_id}/providers/Microsoft.Authorization/denyAssignments"
    items = await arm.list(path, API_VERSION, subject=subject)
    if items is None:
        raise not_found(subject)
    return tuple(_denial(fitted(_Denial, each, subject, f"GET {path}")) for each in items)


async def read_subscription(arm: ResourceManager, subscription_id: str) -> Subscription | None:
    """Return a subscription, or None if it does not exist or this identity cannot see it. Raises `CloudError`."""
    subject = f"subscription {subscription_id}"
    return await arm.get(f"/subscriptions/{subscription_id}", SUBSCRIPTION_VERSION, Subscription, subject=subject)


def _denial(found: _Denial) -> Denial:
    about = found.properties
    return Denial(
        about.deny_assignment_name or found.name or "without name",
        about.scope,
        tuple(each.value(about.condition) for each in about.permissions or ()),
        _principals(about.principals),
        _principals(about.exclude_principals),
        bool(about.do_not_apply_to_child_scopes),
    )


def _principals(found: list[_Principal] | None) -> tuple[Principal, ...]:
    return tuple(Principal(each.id or "", each.type or "") for each in found or ())
