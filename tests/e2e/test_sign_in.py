"""Federated authentication: program, plugin and azure-native sign in alike, or the run says so before it starts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.e2e.world import World
from tests.federation import Job, github_job, pipelines_job, signed_in_by
from tests.warm.python import COLD

pytestmark = pytest.mark.engine

WINDOWS = "Win2016/Datacenter.json"


@pytest.mark.parametrize("job", [github_job, pipelines_job])
async def test_a_job_distributes_by_federated_sign_in_alone(world: World, tmp_path: Path, job: Job) -> None:
    """GitHub's request, or the token of Azure Pipelines: no managed identity is asked, and the state has no token."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.python = COLD  # which reads the certificates that the environment trusts
    status = world.cloud.status()
    async with signed_in_by(job, status, tmp_path) as variables:
        world.environment = {**world.environment, **variables}
        world.cloud.clear_calls()
        run = await asyncio.to_thread(world.up)
        assert run.code == 0, run.output
    calls = [call["path"].partition("?")[0] for call in world.cloud.calls()]
    assert world.held(web) == {name: "Succeeded"}
    assert sum(path.endswith("/oauth2/v2.0/token") for path in calls) >= 3 and "/msi/token" not in calls
    written = json.dumps(world.state()) + run.output
    assert status["identityHeader"] not in written and "eyJ" not in written


def test_variables_that_azure_native_would_not_read_stop_the_run_first(world: World) -> None:
    """Nothing is read or declared, and the message says what to set."""
    world.add_lab("web", "Win2016")
    world.add_images((WINDOWS, 5))
    request = {"ARM_OIDC_REQUEST_URL": "http://127.0.0.1:9", "ARM_OIDC_REQUEST_TOKEN": "s3cret"}
    environment = {**world.environment, "ARM_TENANT_ID": "t", "ARM_CLIENT_ID": "c"}
    for variables, remedy in (
        ({"ARM_USE_OIDC": "1", "ARM_OIDC_TOKEN": "s3cret"}, "Set ARM_USE_OIDC to true"),
        (
            {"ARM_USE_OIDC": "true", **request},
            "Set ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN for GitHub",
        ),
    ):
        world.environment = {**environment, **variables}
        world.cloud.clear_calls()
        run = world.up()
        assert run.code != 0 and remedy in run.output and "s3cret" not in run.output, run.output
        assert world.cloud.calls() == []
        assert [each["type"] for each in world.state().get("resources", [])] in ([], ["pulumi:pulumi:Stack"])
