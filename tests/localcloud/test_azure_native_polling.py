"""The stand-in's client of the resource manager: the two ways in which Azure tells where an operation is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from localcloud.azure_native.arm_client import ArmClient
from localcloud.azure_native.errors import AzureError, UnfinishedError
from localcloud.azure_native.sign_in import SignIn

SOON = {"Retry-After": "0"}
MADE = {"id": "/made", "properties": {"provisioningState": "Succeeded"}}


class Service:
    """Answers a PUT and a DELETE of `/made` with the header `header`; its operation answers what `answers` has (status
    and body), one after the other."""

    def __init__(self) -> None:
        self.header, self.calls = "Location", list[str]()
        self.answers: list[tuple[int, dict[str, Any]]] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request."""
        if request.path == "/token":
            return web.json_response({"access_token": "t", "expires_on": "4102444800"})
        self.calls.append(f"{request.method} {request.path}")
        if request.path == "/operation":
            status, body = self.answers.pop(0)
            return web.json_response(body, status=status, headers=SOON)
        if request.method == "GET":
            return web.json_response(MADE)
        headers = {**SOON, self.header: f"{request.url.origin()}/operation?s=signed"}
        status = 201 if request.method == "PUT" else 202
        return web.json_response({"properties": {"provisioningState": "Creating"}}, status=status, headers=headers)


@pytest.fixture
def service() -> Service:
    """A service without answers yet."""
    return Service()


@pytest_asyncio.fixture
async def client(service: Service) -> AsyncIterator[ArmClient]:
    """A client of the running service."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    made = ArmClient(base, SignIn({"IDENTITY_ENDPOINT": f"{base}/token", "IDENTITY_HEADER": "h"}))
    yield made
    await made.close()
    await runner.cleanup()


async def test_a_location_is_asked_until_it_answers_another_status_than_202(
    client: ArmClient, service: Service
) -> None:
    """The header alone: 202 means in progress, whatever the body says, and what is made is read afterwards."""
    service.answers = [(202, {}), (202, {"properties": {"provisioningState": "Succeeded"}}), (200, MADE)]
    assert await client.put("/made", "1", {}, 60) == MADE
    assert service.calls == ["PUT /made", *["GET /operation"] * 3, "GET /made"]


async def test_an_async_operation_is_asked_until_its_status_is_final(client: ArmClient, service: Service) -> None:
    """Its document says so; a failure keeps what was accepted, with the code of the document."""
    service.header = "Azure-AsyncOperation"
    service.answers = [(200, {"status": "InProgress"}), (200, {"status": "Succeeded"})]
    assert await client.put("/made", "1", {}, 60) == MADE
    service.answers = [(200, {"status": "Failed", "error": {"code": "QuotaExceeded", "message": "no"}})]
    with pytest.raises(UnfinishedError, match='Code="QuotaExceeded" Message="no"'):
        await client.put("/made", "1", {}, 60)


@pytest.mark.parametrize("header", ["Location", "Azure-AsyncOperation"])
async def test_a_resource_that_goes_while_its_deletion_is_polled_is_deleted(
    client: ArmClient, service: Service, header: str
) -> None:
    """404 is success of a deletion, of the resource or of its operation; another error is none."""
    service.header, service.answers = header, [(404, {"error": {"code": "ResourceNotFound", "message": "gone"}})]
    await client.delete("/made", "1", 60)
    service.answers = [(409, {"error": {"code": "Conflict", "message": "busy"}})]
    with pytest.raises(AzureError, match='Code="Conflict"'):
        await client.delete("/made", "1", 60)
