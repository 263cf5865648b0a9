"""Subscriptions, and what the caller may do there, of Microsoft.Authorization (2022-04-01): permissions and
deny assignments, also of resources.

Shows what tests set; enforces none of it. A test that wants a refusal sets a fault rule.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web
from pydantic import Field

from localcloud.arm.errors import ArmError
from localcloud.arm.identity import TENANT
from localcloud.arm.routes.routing import Parts, Route
from localcloud.arm.store import ArmStore
from localcloud.fault_rules import Settings

_SUBSCRIPTION = r"/subscriptions/(?P<subscription>[^/]+)"
_PROVIDER = "/providers/microsoft.authorization/"


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
        return _is_below(path, self.scope)

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


class AuthorizationRoutes:
    """One method per call; `given` returns what to show."""

    def __init__(self, store: ArmStore, given: Callable[[], Assignments]) -> None:
        self._store, self._given = store, given

    def routes(self) -> list[Route]:
        """Return the supported calls."""
        of_resource = rf"{_SUBSCRIPTION}(?P<below>.*){_PROVIDER}".replace(".authorization", r"\.authorization")
        return [
            Route("subscriptions", "get", "GET", _SUBSCRIPTION, self.get_subscription),
            Route("permissions", "list", "GET", f"{of_resource}permissions", self.list_permissions),
            Route("deny assignments", "list", "GET", f"{of_resource}denyassignments", self.list_deny_assignments),
        ]

    async def get_subscription(self, _: web.Request, parts: Parts) -> web.Response:
        """One subscription."""
        known = parts["subscription"]
        facts = self._given().subscriptions.get(known, SubscriptionFacts())
        body = {"id": f"/subscriptions/{known}", "subscriptionId": known, "displayName": "Embedded cloud"}
        managing = [{"tenantId": each} for each in facts.managed_by_tenants]
        tenants = {"tenantId": facts.tenant_id, "managedByTenants": managing}
        return web.json_response({**body, **tenants, "state": "Enabled"})

    async def list_permissions(self, request: web.Request, _: Parts) -> web.Response:
        """One item for each role that counts there, whether the resource exists or not."""
        scope = _scope(request)
        return web.json_response(
            {"value": [each.permission() for each in self._given().assignments if each.is_at(scope)]}
        )

    async def list_deny_assignments(self, request: web.Request, _: Parts) -> web.Response:
        """Those at, above and below the scope, as without a filter."""
        if "$filter" in request.query:
            raise ArmError(400, "BadRequest", "The embedded cloud does not filter deny assignments.")
        scope = _scope(request)
        shown = [each for each in self._given().deny_assignments if each.is_at(scope) or _is_below(each.scope, scope)]
        return web.json_response({"value": [each.to_arm() for each in shown]})


def _scope(request: web.Request) -> str:
    return request.path.lower().rpartition(_PROVIDER)[0]


def _is_below(path: str, scope: str) -> bool:
    own, above = path.lower(), scope.lower().rstrip("/")
    return own == above or own.startswith(f"{above}/")
