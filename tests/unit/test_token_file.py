"""The file with a job's identity token: written anew while the job runs, whole at any moment, for its user alone."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path

import pytest
from aiohttp import web

from tests.federation import serving
from toolchain.checkout import Checkout

CODE = "from imagefactory.token_file import main; main(0.2)"


class Endpoint:
    """GitHub's endpoint for identity tokens; each one is another, and it may fail."""

    def __init__(self) -> None:
        self.audiences: list[str] = []
        self.fails = False
        self._asked = asyncio.Condition()

    async def asked(self, times: int) -> None:
        """Return after so many requests."""
        async with self._asked:
            await self._asked.wait_for(lambda: len(self.audiences) >= times)

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        assert request.headers["Authorization"] == "Bearer job"
        async with self._asked:
            self.audiences.append(request.query["audience"])
            self._asked.notify_all()
        if self.fails:
            return web.Response(status=503)
        return web.json_response({"value": f"token-{len(self.audiences)}"})


async def start(url: str, *words: str) -> asyncio.subprocess.Process:
    """Start the program; two tokens are less than a second apart."""
    variables = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}?v=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job"}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CODE, *words),
        cwd=Checkout.here().root,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("audience", ["", "urn:pulumi:org:acme"])
async def test_the_file_gets_a_new_token_again_and_again(audience: str, tmp_path: Path) -> None:
    """Also after a failure of the endpoint, which is printed without a token; only this user may read it."""
    file, endpoint = tmp_path / "token", Endpoint()
    async with serving(endpoint) as url:
        process = await start(url, str(file), *filter(None, [audience]))
        try:
            await endpoint.asked(3)
            endpoint.fails = True
            assert process.stderr
            line = (await process.stderr.readline()).decode()
            endpoint.fails, number = False, len(endpoint.audiences)
            await endpoint.asked(number + 2)
        finally:
            process.terminate()
        output, errors = await process.communicate()
    assert line.startswith("authentication: the OpenID Connect endpoint returned 503")
    assert "token-" not in line + output.decode() + errors.decode()
    assert int(file.read_text("utf-8").removeprefix("token-")) > number
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(endpoint.audiences) == {audience or "api://AzureADTokenExchange"}


async def test_without_a_first_token_it_ends(tmp_path: Path) -> None:
    """With the reason, so the step does."""
    endpoint = Endpoint()
    endpoint.fails = True
    async with serving(endpoint) as url:
        process = await start(url, str(tmp_path / "token"))
        _, errors = await process.communicate()
    assert process.returncode == 1 and b"permissions: id-token: write" in errors and b"Traceback" not in errors
    assert not (tmp_path / "token").exists()
