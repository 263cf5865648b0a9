"""What of the machine's environment requests heed: its proxies, never credentials of a netrc file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from imagefactory.azure.core import environment
from imagefactory.azure.core.answers import Answer
from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.environment import transport_options
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.page_blobs import PageBlobs
from tests.azure.storage_world import Token
from tests.azure.test_redirects import STORED, opened
from tests.federation import serving

NOT_FOUND = {"x-ms-error-code": "BlobNotFound"}


@pytest.mark.parametrize("bypass", ["elsewhere", "127.0.0.1"])
async def test_the_clients_of_blobs_and_of_the_resource_manager_use_the_environments_proxy(
    bypass: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With each request; a host in NO_PROXY is connected to directly."""
    asked: list[str] = []

    async def proxy(request: web.BaseRequest) -> web.Response:
        asked.append(request.raw_path)
        if "/subscriptions/" in request.raw_path:
            return web.json_response({})
        return web.json_response({}, status=404, headers=NOT_FOUND)

    async with serving(proxy) as url:
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", bypass)
        async with ResourceManager(Cloud(None, url, f"{url}/{{account}}"), Token()) as arm:
            await arm.get("/subscriptions/1", "1", Answer, subject="it")
        async with opened(url, "aad") as accounts:
            await PageBlobs(accounts).facts(STORED)
    assert len(asked) >= 2 and all(path.startswith(url) == (bypass == "elsewhere") for path in asked)


async def test_without_a_proxy_a_request_reads_no_netrc_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its credentials nor the time of a thread per request: the request is sent with its own token."""
    sent: list[str] = []
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(environment, "getproxies", dict)

    async def answer(request: web.BaseRequest) -> web.Response:
        sent.append(request.headers["Authorization"])
        return web.json_response({}, status=404, headers=NOT_FOUND)

    assert transport_options() == {"use_env_settings": False}
    async with serving(answer) as url, opened(url, "aad") as accounts:
        await PageBlobs(accounts).facts(STORED)
    assert [each.partition(" ")[0] for each in sent] == ["Bearer"]


async def test_all_requests_for_a_blob_share_one_client() -> None:
    """Also those that start at the same time."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=404)

    async with serving(answer) as url, opened(url, "aad") as accounts:
        first, second = await asyncio.gather(accounts.client(STORED), accounts.client(STORED))
        assert first is second
