"""What the caller may do: roles and deny assignments as a test sets them, and the actions that requests need.

Roles are enforced if `enforced` is set, else only shown; deny assignments are only shown. An action of the resource
manager follows from method and path, as Azure forms it: the types of the path, and `read`, `write`, `delete` or the
name of the POST. Those of blobs are from "Authorize with Microsoft Entra ID" (REST API of storage), "Permissions for
calling data operations".
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import Field

from localcloud.arm.errors import ArmError
from localcloud.arm.identity import OBJECT, TENANT
from localcloud.fault_rules import Settings


class Need(NamedTuple):
    """An action (`on_data`: a data action) and the id at which it is needed."""

    action: str
    scope: str
    on_data: bool = False


class Scoped(Settings):
    """Actions at a scope (the start of an id)."""

    scope: str = ""
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()
    condition: str | None = None

    def is_at(self, path: str) -> bool:
        """Return whether it counts for the resource at a path: that is its scope, or below it."""
        return is_below(path, self.scope)

    def contains(self, need: Need) -> bool:
        """Return whether it counts there and names the action; a condition is taken as met."""
        given, taken = (self.data_actions, self.not_data_actions) if need.on_data else (self.actions, self.not_actions)
        named, excepted = (any(_matches(each, need.action) for each in some) for some in (given, taken))
        return self.is_at(need.scope) and named and not excepted

    def permission(self) -> dict[str, Any]:
        """Return the actions as ARM's JSON."""
        names = {"actions", "not_actions", "data_actions", "not_data_actions", "condition"}
        return self.model_dump(by_alias=True, mode="json", include=names)


class Assignment(Scoped):
    """A role of the caller."""


class Principal(Settings):
    """Whom a deny assignment concerns; everyone has the id of zeros and the type `SystemDefined`."""

    id: str
    type: str = "ServicePrincipal"


class DenyAssignment(Scoped):
    """A deny assignment; its properties are those of "Understand Azure deny assignments" (documentation)."""

    name: str
    do_not_apply_to_child_scopes: bool = False
    principals: tuple[Principal, ...] = (Principal(id=str(uuid.UUID(int=0)), type="SystemDefined"),)
    exclude_principals: tuple[Principal, ...] = ()

    def to_arm(self) -> dict[str, Any]:
        """Return it as ARM's JSON, as in the examples of "Deny Assignments - List" (REST API)."""
        known = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.scope}/{self.name}"))
        properties = {
            "denyAssignmentName": self.name,
            "description": f"Denies what {self.name} protects",
            "permissions": [self.permission()],
            "scope": self.scope,
            "doNotApplyToChildScopes": self.do_not_apply_to_child_scopes,
            "principals": [each.to_json() for each in self.principals],
            "excludePrincipals": [each.to_json() for each in self.exclude_principals],
            "isSystemProtected": True,
        }
        kind = "Microsoft.Authorization/denyAssignments"
        return {"properties": properties, "id": f"{self.scope}/providers/{kind}/{known}", "type": kind, "name": known}


class SubscriptionFacts(Settings):
    """The tenant of a subscription, and those that manage it by delegation (Azure Lighthouse).

    "Subscriptions - Get" (REST API) shows both to a caller of any of these tenants. Azure rejects tokens of others
    (401 `InvalidAuthenticationTokenTenant`); for that, a test sets a fault rule.
    """

    tenant_id: str = TENANT
    managed_by_tenants: tuple[str, ...] = ()


class Assignments(Settings):
    """All roles of the caller (by default everything is permitted everywhere), deny assignments, and subscriptions by
    id; those that are not named are of the caller's tenant."""

    assignments: tuple[Assignment, ...] = Field((Assignment(actions=("*",), data_actions=("*",)),))
    deny_assignments: tuple[DenyAssignment, ...] = ()
    subscriptions: dict[str, SubscriptionFacts] = Field(default_factory=dict)
    enforced: bool = False

    def permit(self, need: Need) -> bool:
        """Return whether a request that needs this is answered."""
        return not self.enforced or any(each.contains(need) for each in self.assignments)

    def check(self, needs: Iterator[Need]) -> None:
        """Reject what is not permitted, as the resource manager words it (as users of its clients quote it)."""
        who, first = f"The client '{OBJECT}' with object id '{OBJECT}'", None
        for need in needs:
            if self.permit(need):
                first = first or need
            elif first is None:
                text = f"{who} does not have authorization to perform action '{need.action}' over scope '{need.scope}'"
                again = "or the scope is invalid. If access was recently granted, please refresh your credentials."
                raise ArmError(403, "AuthorizationFailed", f"{text} {again}")
            else:
                text = f"{who} has permission to perform action '{first.action}' on scope '{first.scope}'; however, it"
                lacks = f"does not have permission to perform action(s) '{need.action}' on the linked scope(s)"
                end = f"'{need.scope}' (respectively) or the linked scope(s) are invalid."
                raise ArmError(403, "LinkedAuthorizationFailed", f"{text} {lacks} {end}")


def is_below(path: str, scope: str) -> bool:
    """Return whether an id is that of a scope, or below it."""
    own, above = path.lower(), scope.lower().rstrip("/")
    return own == above or own.startswith(f"{above}/")


def arm_needs(method: str, path: str, query: Mapping[str, str], body: object = None) -> Iterator[Need]:
    """Yield what a call of the resource manager needs, the call itself first.

    The source of a gallery version needs `listKeys` of its account (learn.microsoft.com, "Store and share images in an
    Azure Compute Gallery"). That `$expand=instanceView` needs the action of the instance view is assumed.
    """
    above, provider, rest = path.rpartition("/providers/")
    if not provider:
        kind = "/resourceGroups" if "/resourcegroups/" in path.lower() else ""
        yield Need(f"Microsoft.Resources/subscriptions{kind}/read", path)
        return
    namespace, *names = rest.split("/")
    verb = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}.get(method, "action")
    action = "/".join([namespace, *names[::2], verb])
    scope = above if len(names) == 1 else path if len(names) % 2 == 0 else path.rpartition("/")[0]
    yield Need(action, scope)
    if query.get("$expand", "").lower() == "instanceview":
        yield Need(f"{action.rpartition('/')[0]}/instanceView/read", scope)
    for account in _accounts(body):
        yield Need("Microsoft.Storage/storageAccounts/listKeys/action", account)


def _accounts(body: object) -> Iterator[str]:
    """Yield the ids of storage accounts that a gallery version names as its source."""
    if isinstance(body, Mapping):
        for name, value in body.items():
            if name == "storageAccountId" and isinstance(value, str):
                yield value
            yield from _accounts(value)
    elif isinstance(body, list):
        for each in body:
            yield from _accounts(each)


_SERVICE = "Microsoft.Storage/storageAccounts/blobServices"
_CONTAINER = f"{_SERVICE}/containers"
_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "POST": "write", "DELETE": "delete"}


def blob_need(method: str, path: str, query: Mapping[str, str]) -> Need:
    """Return what a call of the blob service needs; the scope is a path below the account's id."""
    _, _, below = path.lstrip("/").partition("/")
    container, _, blob = below.partition("/")
    scope = f"/blobServices/default/containers/{container}"
    verb = _VERBS[method]
    if query.get("comp") == "userdelegationkey":
        return Need(f"{_SERVICE}/generateUserDelegationKey/action", "/blobServices/default")
    if blob or query.get("comp") == "list":
        return Need(f"{_CONTAINER}/blobs/{verb}", f"{scope}/blobs/{blob}" if blob else scope, on_data=True)
    return Need(f"{_CONTAINER}/{verb}", scope)


def _matches(pattern: str, action: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), action, re.IGNORECASE) is not None
