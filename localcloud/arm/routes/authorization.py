"""Subscriptions, and what the caller may do: Microsoft.Authorization/permissions (2022-04-01), also of their resources.

Shows the role assignments that tests set; enforces none of them. A test that wants a refusal sets a fault rule.
"""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from localcloud.arm.identity import TENANT
from localcloud.arm.routes.routing import Parts, Route
from localcloud.arm.store import ArmStore
from localcloud.fault_rules import Settings

_SUBSCRIPTION = r"/subscriptions/(?P<subscription>[^/]+)"


class Assignment(Settings):
    """A role of the caller at a scope (the start of an id) and below; as ARM shows its permissions."""

    scope: str = ""
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()
    condition: str | None = None

    def is_at(self, path: str) -> bool:
        """Return whether it counts for the resource at a path."""
        own, scope = path.lower(), self.scope.lower().rstrip("/")
        return own == scope or own.startswith(f"{scope}/")


class Assignments(Settings):
    """All roles of the caller; by default everything is permitted everywhere."""

    assignments: tuple[Assignment, ...] = Field((Assignment(actions=("*",), data_actions=("*",)),))


class AuthorizationRoutes:
    """One method per call; `given` has the caller's roles."""

    def __init__(self, store: ArmStore, given: list[Assignment]) -> None:
        self._store, self._given = store, given

    def routes(self) -> list[Route]:
        """Return the supported calls."""
        permissions = _SUBSCRIPTION + r"(?P<below>.*)/providers/microsoft\.authorization/permissions"
        return [
            Route("subscriptions", "get", "GET", _SUBSCRIPTION, self.get_subscription),
            Route("permissions", "list", "GET", permissions, self.list_permissions),
        ]

    async def get_subscription(self, _: web.Request, parts: Parts) -> web.Response:
        """One subscription."""
        known = parts["subscription"]
        body = {"id": f"/subscriptions/{known}", "subscriptionId": known, "displayName": "Embedded cloud"}
        return web.json_response({**body, "tenantId": TENANT, "state": "Enabled"})

    async def list_permissions(self, request: web.Request, _: Parts) -> web.Response:
        """One item for each role that counts there, whether the resource exists or not."""
        path = request.path.lower().removesuffix("/providers/microsoft.authorization/permissions")
        shown = [each.to_json() for each in self._given if each.is_at(path)]
        for each in shown:
            del each["scope"]
        return web.json_response({"value": shown})
