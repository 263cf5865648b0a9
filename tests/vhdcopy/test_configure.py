"""Configuring the provider: another local user can reach its port, and must not redirect its credential."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from tests.e2e.world import World
from tests.vhdcopy.copying import inputs_of, staged_equals_source
from tests.vhdcopy.plugin import COPY, Plugin, endpoints, started

AWAY = "https://attacker.example"
PUBLIC = {"resourceManager": "https://management.azure.com", "blobEndpoint": "https://{account}.blob.core.windows.net"}


@pytest_asyncio.fixture
async def plugin(shell: dict[str, str], python: Path) -> AsyncIterator[Plugin]:
    """A provider that nobody has configured."""
    async with started(shell, python) as plugin:
        yield plugin


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    """Return the error of a rejected call, after checking that it is one line."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    details = str(caught.value.details())
    assert details.startswith("vhdcopy: ") and "\n" not in details and "Traceback" not in details
    return caught.value


@pytest.mark.parametrize(
    "change",
    [
        {"resourceManager": AWAY},
        {"blobEndpoint": f"{AWAY}/{{account}}"},
        {"authority": "login.chinacloudapi.cn"},
        {"storageAuth": "key"},
        {"copyMethod": "service"},
        {"maxInFlight": "1"},
    ],
)
async def test_a_second_configuration_that_differs_is_rejected_and_the_first_is_kept(
    world: World, shell: dict[str, str], plugin: Plugin, change: dict[str, str]
) -> None:
    """Copies continue with the first; an equal configuration is accepted."""
    own = endpoints(shell)
    await plugin.configure(own)
    error = await refusal(plugin.configure({**own, **change}))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION and "is already configured" in str(error.details())
    await plugin.configure(own)
    await plugin.configure({name: f"{url}/" for name, url in own.items()})
    await plugin.create(COPY, inputs_of(world))
    assert staged_equals_source(world)


NOT_ENDPOINTS = (
    "http://attacker.example",
    "http://127.0.0.1.attacker.example",
    "https://user:secret@attacker.example",
    "https://attacker.example/?x=",
    "https://attacker.example?",
    "https://attacker.example#",
    "https://attacker.example:99999",
    "file:///etc",
    "",
)
NOT_BLOB_ENDPOINTS = (
    "https://attacker.example",
    "https://{account}.{account}.example",
    "http://{account}.attacker.example",
    "https://{account}@attacker.example",
    "https://attacker.example?{account}",
)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        *(({"resourceManager": url}, "resourceManager") for url in NOT_ENDPOINTS),
        *(({"blobEndpoint": url}, "blobEndpoint") for url in NOT_BLOB_ENDPOINTS),
        ({"authority": "login.attacker.example"}, "authority"),
        ({"authority": "login.microsoftonline.com", "audience": AWAY}, "audience"),
        ({"audience": "https://graph.microsoft.com"}, "audience"),
        ({"maxInFlight": "many"}, "maxInFlight"),
        ({"maxMbps": "0.5"}, "maxMbps"),
    ],
)
async def test_endpoints_are_checked_as_settings_are(
    shell: dict[str, str], plugin: Plugin, change: dict[str, str], named: str
) -> None:
    """An invalid endpoint is rejected in one line without its value; the engine can still configure the provider."""
    error = await refusal(plugin.configure({**PUBLIC, **change}))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT and named in str(error.details())
    assert "secret" not in str(error.details())
    missing = await refusal(plugin.configure({key: value for key, value in PUBLIC.items() if key != "blobEndpoint"}))
    assert "blobEndpoint" in str(missing.details())
    await plugin.configure(endpoints(shell))


@pytest.mark.parametrize(
    "values",
    [
        PUBLIC,
        {**PUBLIC, "authority": "login.microsoftonline.com", "copyMethod": "ranged", "maxInFlight": "64"},
        {
            "resourceManager": "https://management.usgovcloudapi.net",
            "blobEndpoint": "https://{account}.blob.core.usgovcloudapi.net",
            "authority": "login.microsoftonline.us",
            "audience": "https://management.core.usgovcloudapi.net",
        },
        {"resourceManager": "http://localhost:1", "blobEndpoint": "http://[::1]:2/{account}"},
    ],
)
async def test_every_cloud_of_the_settings_can_be_configured(plugin: Plugin, values: dict[str, str]) -> None:
    """No request is sent to it."""
    await plugin.configure(values)
