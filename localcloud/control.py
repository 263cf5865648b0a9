"""The control API of the embedded cloud, under /local/ on the resource manager's port.

Owns its routes and who may call them: programs on this machine, no web page. What the calls do is in `server`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from localcloud.arm.errors import ArmError
from localcloud.arm.virtual_machines import MachineChange
from localcloud.blobs.door import SignIn
from localcloud.blobs.limits import Limits
from localcloud.fault_rules import FaultRule, Faults, Journal, Latencies
from localcloud.seed import SeedDocument, SeedError, fault_text, parse_seed

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_RULES = TypeAdapter(list[FaultRule])


class Controlled(Protocol):
    """What the control API controls."""

    faults: Faults
    journal: Journal

    @property
    def latencies(self) -> Latencies:
        """The latencies in force."""

    def set_latencies(self, latencies: Latencies) -> None:
        """Put latencies in force."""

    def set_limits(self, limits: Limits) -> None:
        """Put limits of page writes in force."""

    def set_sign_in(self, sign_in: SignIn) -> None:
        """Put rules of signing in in force."""

    async def change_machine(self, change: MachineChange) -> None:
        """Change a virtual machine of a lab. Raises ArmError."""

    def status(self) -> dict[str, Any]:
        """The status document."""

    async def seed(self, document: SeedDocument) -> int:
        """Add what the document declares; the number of factory images that it names."""


def add_control_routes(app: web.Application, cloud: Controlled) -> None:
    """Add the control API to the resource manager's application."""

    async def get_status(_: object) -> Any:
        return cloud.status()

    async def seed(body: object) -> Any:
        return {"factoryImages": await cloud.seed(parse_seed(body))}

    async def get_faults(_: object) -> Any:
        return cloud.faults.to_json()

    async def put_faults(body: object) -> Any:
        cloud.faults.set(_RULES.validate_python(body))
        return cloud.faults.to_json()

    async def delete_faults(_: object) -> Any:
        cloud.faults.set([])
        return []

    async def get_latencies(_: object) -> Any:
        return cloud.latencies.to_json()

    async def put_latencies(body: object) -> Any:
        cloud.set_latencies(Latencies.model_validate(body))
        return cloud.latencies.to_json()

    async def put_limits(body: object) -> Any:
        cloud.set_limits(limits := Limits.model_validate(body))
        return limits.to_json()

    async def put_sign_in(body: object) -> Any:
        cloud.set_sign_in(sign_in := SignIn.model_validate(body))
        return sign_in.to_json()

    async def patch_machine(body: object) -> Any:
        await cloud.change_machine(change := MachineChange.model_validate(body))
        return change.to_json()

    async def get_calls(_: object) -> Any:
        return cloud.journal.to_json()

    async def delete_calls(_: object) -> Any:
        cloud.journal.clear()
        return []

    routes: list[tuple[str, str, Callable[[object], Awaitable[Any]]]] = [
        ("GET", "status", get_status),
        ("POST", "seed", seed),
        ("GET", "faults", get_faults),
        ("PUT", "faults", put_faults),
        ("DELETE", "faults", delete_faults),
        ("GET", "latencies", get_latencies),
        ("PUT", "latencies", put_latencies),
        ("PUT", "limits", put_limits),
        ("PUT", "sign-in", put_sign_in),
        ("PATCH", "virtual-machines", patch_machine),
        ("GET", "calls", get_calls),
        ("DELETE", "calls", delete_calls),
    ]
    for method, name, answer in routes:
        app.router.add_route(method, f"/local/{name}", _route(answer))


def _route(answer: Callable[[object], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        host = urlsplit(f"//{request.host}").hostname
        if host not in _LOOPBACK or "Origin" in request.headers:
            return web.Response(status=403, text="The control API answers only programs on this machine.")
        try:
            body = json.loads(await request.read() or b"null")
            return web.json_response(await answer(body))
        except ValidationError as error:
            return web.Response(status=400, text=f"request: {fault_text(error)}; nothing was changed.")
        except ArmError as error:
            return web.Response(status=error.status, text=f"{error.message} Nothing was changed.")
        except SeedError as error:
            return web.Response(status=400, text=str(error))
        except ValueError as error:
            return web.Response(status=400, text=f"request: the body is not JSON ({error}); nothing was changed.")

    return handle
