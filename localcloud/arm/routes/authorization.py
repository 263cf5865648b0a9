"""Subscriptions, and what the caller may do there, of Microsoft.Authorization (2022-04-01): permissions and
deny assignments, also of resources.

Shows what tests set; `localcloud.rights` says what of it is enforced.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from localcloud.arm.errors import ArmError
from localcloud.arm.routes.routing import Parts, Route
from localcloud.arm.store import ArmStore
from localcloud.rights import Assignments, SubscriptionFacts, is_below

_SUBSCRIPTION = r"/subscriptions/(?P<subscription>[^/]+)"
_PROVIDER = "/providers/microsoft.authorization/"


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
        shown = [each for each in self._given().deny_assignments if each.is_at(scope) or is_below(each.scope, scope)]
        return web.json_response({"value": [each.to_arm() for each in shown]})


def _scope(request: web.Request) -> str:
    return request.path.lower().rpartition(_PROVIDER)[0]
