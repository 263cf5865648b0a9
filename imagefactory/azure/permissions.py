"""What the run's identity may do, and the subscriptions: one request for each scope. Does not judge it."""

from __future__ import annotations

from pydantic import Field

from imagefactory.azure.core.answers import Answer, fitted
from imagefactory.azure.core.errors import not_found
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.observed.permissions import Permission

API_VERSION = "2022-04-01"
"""Of Microsoft.Authorization/permissions, "Azure Permissions For Resource - List": all permissions of the caller."""
SUBSCRIPTION_VERSION = "2022-12-01"


class _Permission(Answer):
    actions: tuple[str, ...] | None = Field(None, strict=False)
    not_actions: tuple[str, ...] | None = Field(None, strict=False)
    data_actions: tuple[str, ...] | None = Field(None, strict=False)
    not_data_actions: tuple[str, ...] | None = Field(None, strict=False)
    condition: str | None = None


class Subscription(Answer):
    """A subscription as the resource manager shows it."""

    display_name: str | None = None
    state: str | None = None
    """Enabled, Warned, PastDue, Disabled or Deleted."""
    tenant_id: str | None = None


async def read_permissions(arm: ResourceManager, scope: str, subject: str) -> tuple[Permission, ...]:
    """Return what the identity may do at a scope, by its ARM id. Raises `CloudError`."""
    path = f"{scope}/providers/Microsoft.Authorization/permissions"
    items = await arm.list(path, API_VERSION, subject=subject)
    if items is None:
        raise not_found(subject)
    found = (fitted(_Permission, each, subject, f"GET {path}") for each in items)
    return tuple(
        Permission(
            each.actions or (),
            each.not_actions or (),
            each.data_actions or (),
            each.not_data_actions or (),
            bool(each.condition),
        )
        for each in found
    )


async def read_subscription(arm: ResourceManager, subscription_id: str) -> Subscription | None:
    """Return a subscription, or None if it does not exist or this identity cannot see it. Raises `CloudError`."""
    subject = f"subscription {subscription_id}"
    return await arm.get(f"/subscriptions/{subscription_id}", SUBSCRIPTION_VERSION, Subscription, subject=subject)
