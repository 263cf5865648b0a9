"""Federated authentication of the embedded cloud: tokens of pipeline jobs and what they are exchanged for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from pulumi.runtime.proto import provider_pb2

from localcloud.arm.federation import ASSERTION_SECONDS, ASSERTION_TYPE, AUDIENCE, CLIENT, GITHUB_PATH, PIPELINES_PATH
from localcloud.arm.identity import TENANT
from tests.federation import github_job, signed_in_by
from tests.localcloud.arm_world import World
from tests.localcloud.azure_native_plugin import REQUEST_ID, URN, fails, started
from tests.warm.python import COLD

EXCHANGE = f"/{TENANT}/oauth2/v2.0/token"


async def call(world: World, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """Status and document of a call."""
    async with aiohttp.ClientSession(world.base) as session, session.request(method, path, **options) as answer:
        return answer.status, dict(await answer.json())


def job(world: World) -> dict[str, str]:
    """The header of a job."""
    return {"Authorization": f"Bearer {world.identity.header}"}


async def id_token(world: World, audience: str = AUDIENCE) -> str:
    """The identity token of a job of GitHub."""
    query = {"audience": audience}
    return str((await call(world, "GET", GITHUB_PATH, params=query, headers=job(world)))[1]["value"])


async def exchange(world: World, assertion: str, path: str = EXCHANGE, **form: str) -> tuple[int, dict[str, Any]]:
    """Status and document of an exchange for a token of the resource manager."""
    complete: Mapping[str, str] = {
        "grant_type": "client_credentials",
        "client_id": CLIENT,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
        "scope": "https://management.azure.com/.default",
        **form,
    }
    return await call(world, "POST", path, data=complete)


async def test_a_job_of_either_system_gets_a_token_that_is_exchanged_for_one_of_arm(world: World) -> None:
    """GitHub returns it in `value` to a GET, Azure Pipelines in `oidcToken` to a POST."""
    query = {"api-version": "7.1", "serviceConnectionId": "connection"}
    _, found = await call(world, "POST", PIPELINES_PATH, params=query, headers=job(world))
    for assertion in (await id_token(world), found["oidcToken"]):
        status, document = await exchange(world, assertion)
        assert status == 200 and document["token_type"] == "Bearer" and 0 < document["expires_in"] <= 86_400
        world.identity.check(f"Bearer {document['access_token']}", ("https://management.azure.com",))


async def test_each_system_accepts_its_own_request_only(world: World) -> None:
    """So a client of GitHub's protocol gets nothing from Azure Pipelines, and without the job's token nobody does."""
    assert (await call(world, "GET", PIPELINES_PATH, headers=job(world)))[0] == 405
    assert (await call(world, "POST", PIPELINES_PATH, headers=job(world)))[0] == 400
    assert (await call(world, "GET", GITHUB_PATH))[0] == 401
    assert (await call(world, "GET", GITHUB_PATH, headers={"Authorization": "Bearer other"}))[0] == 401


async def test_an_exchange_is_refused_with_the_code_of_microsoft_entra_id(world: World) -> None:
    """Another tenant, application or audience, a token of somebody else, and one that has expired."""
    good = await id_token(world)
    other = jwt.encode({"aud": AUDIENCE}, "other" * 8, algorithm="HS256")
    answers = {
        90002: await exchange(world, good, "/other/oauth2/v2.0/token"),
        700016: await exchange(world, good, client_id="other"),
        70003: await exchange(world, good, grant_type="password"),
        700212: await exchange(world, await id_token(world, "https://github.com/owner")),
        50027: await exchange(world, other),
    }
    world.identity.ahead = ASSERTION_SECONDS + 1
    answers[700024] = await exchange(world, good)
    for code, (status, document) in answers.items():
        assert (status, document["error_codes"]) == (401, [code]) and f"AADSTS{code}" in document["error_description"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"ARM_CLIENT_ID": ""}, "A Client ID must be configured when authenticating with OIDC."),
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": "", "ARM_OIDC_REQUEST_URL": "x"}, "A OIDC token or request URL and token"),
        ({"ARM_OIDC_TOKEN_FILE_PATH": "/nowhere"}, "failed to read OIDC token from /nowhere"),
    ],
)
async def test_the_plugin_signs_in_by_the_names_that_the_genuine_one_reads(
    world: World, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    """Those of GitHub Actions for a request; what is missing is said in its words."""
    status = {"resourceManager": world.base, "identityHeader": world.identity.header}
    async with signed_in_by(github_job, status, tmp_path) as variables:
        environment = {**variables, "IMAGEFACTORY_RESOURCE_MANAGER": world.base, **changes}
        # A warm interpreter has read its certificates before the test's are there.
        async with started(tmp_path, environment, COLD) as plugin:
            read = plugin.stub.Read(provider_pb2.ReadRequest(urn=URN, id=f"{REQUEST_ID}/missing"))
            if message:
                assert message in (await fails(read)).details()
            else:
                assert (await read).id == ""  # there is no such image, as the resource manager told it
