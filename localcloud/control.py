"""The control API of the embedded cloud, under /local/ on the resource manager's port.

Accepts programs on this machine only, not web pages. `server` runs the calls.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from localcloud.account_facts import AccountFacts
from localcloud.arm.answers import Answers
from localcloud.arm.errors import ArmError
from localcloud.arm.virtual_machines import MachineChange
from localcloud.blobs.authorization import SignIn
from localcloud.blobs.limits import Limits
from localcloud.fault_rules import Document, FaultRule, Latencies
from localcloud.rights import Assignments
from localcloud.seed import SeedError, parse_seed, problems

if TYPE_CHECKING:
    from localcloud.server import Cloud


class LabMove(Document):
    """A lab, and where it moves to; `toSubscriptionId` omitted: within its subscription."""

    subscription_id: str
    resource_group: str
    lab: str
    to_resource_group: str
    to_subscription_id: str | None = None


_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_RULES = TypeAdapter(list[FaultRule])
_ACCOUNTS = TypeAdapter(dict[str, AccountFacts])
_Given = TypeVar("_Given", bound=Document)
_Call = Callable[[object], Awaitable[Any]]
"""Takes the JSON of a request, returns that of the response."""


def add_control_routes(app: web.Application, cloud: Cloud) -> None:
    """Add the control API to the resource manager's application."""

    async def seed(body: object) -> Any:
        return {"factoryImages": await cloud.seed(parse_seed(body))}

    async def put_faults(body: object) -> Any:
        cloud.faults.set(_RULES.validate_python(body))
        return cloud.faults.to_json()

    async def delete_faults(_: object) -> Any:
        cloud.faults.set([])
        return []

    async def patch_accounts(body: object) -> Any:
        return cloud.set_accounts(_ACCOUNTS.validate_python(body))

    async def patch_machine(body: object) -> Any:
        await cloud.change_machine(change := MachineChange.model_validate(body))
        return change.to_json()

    async def post_move(body: object) -> Any:
        cloud.move_lab(move := LabMove.model_validate(body))
        return move.to_json()

    async def delete_calls(_: object) -> Any:
        cloud.journal.clear()
        return []

    async def reset(_: object) -> Any:
        cloud.faults.set([])
        cloud.set_latencies(Latencies.model_validate({}))
        cloud.set_limits(Limits.model_validate({}))
        cloud.set_answers(Answers.model_validate({}))
        cloud.set_sign_in(SignIn.model_validate({}))
        cloud.set_assignments(Assignments.model_validate({}))
        cloud.journal.clear()
        return []

    routes: list[tuple[str, str, _Call]] = [
        ("GET", "status", _get(cloud.status)),
        ("POST", "seed", seed),
        ("GET", "faults", _get(cloud.faults.to_json)),
        ("PUT", "faults", put_faults),
        ("DELETE", "faults", delete_faults),
        ("GET", "latencies", _get(lambda: cloud.latencies.to_json())),
        ("PUT", "latencies", _set(Latencies, cloud.set_latencies)),
        ("PUT", "limits", _set(Limits, cloud.set_limits)),
        ("PUT", "answers", _set(Answers, cloud.set_answers)),
        ("PUT", "permissions", _set(Assignments, cloud.set_assignments)),
        ("POST", "move-lab", post_move),
        ("PUT", "sign-in", _set(SignIn, cloud.set_sign_in)),
        ("PATCH", "storage-accounts", patch_accounts),
        ("PATCH", "virtual-machines", patch_machine),
        ("GET", "calls", _get(cloud.journal.to_json)),
        ("DELETE", "calls", delete_calls),
        ("POST", "reset", reset),
    ]
    for method, name, call in routes:
        app.router.add_route(method, f"/local/{name}", _handler(call))


def _get(read: Callable[[], Any]) -> _Call:
    async def call(_: object) -> Any:
        return read()

    return call


def _set(model: type[_Given], apply: Callable[[_Given], None]) -> _Call:
    """Validate the body, apply it and return it."""

    async def call(body: object) -> Any:
        apply(given := model.model_validate(body))
        return given.to_json()

    return call


def _handler(call: _Call) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        host = urlsplit(f"//{request.host}").hostname
        if host not in _LOOPBACK or "Origin" in request.headers:
            return web.Response(status=403, text="The control API answers only programs on this machine.")
        try:
            body = json.loads(await request.read() or b"null")
            return web.json_response(await call(body))
        except ValidationError as error:
            return web.Response(status=400, text=f"request: {problems(error)}; nothing was changed.")
        except ArmError as error:
            return web.Response(status=error.status, text=f"{error.message} Nothing was changed.")
        except SeedError as error:
            return web.Response(status=400, text=str(error))
        except ValueError as error:
            return web.Response(status=400, text=f"request: the body is not JSON ({error}); nothing was changed.")

    return handle
