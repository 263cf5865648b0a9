"""Whole runs of the pipelines of both systems on the embedded cloud, from the scripts and variables of their files."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from imagefactory.comments.body import marker
from tests.azure_templates import expanded, script, steps
from tests.e2e.pipeline_steps import STACK, run_step
from tests.e2e.world import World
from tests.factory_lab.factory_world import FactoryWorld
from tests.federation import github_job, signed_in_by
from tests.github_workflows import steps_of, variables
from tests.pull_requests import AzureRepos, GitHub, running
from tests.warm.python import COLD

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

WINDOWS = "Win2016/Datacenter.json"


def outcome_of(condition: str) -> bool:
    """Whether a step with this condition runs in a job in which everything succeeds."""
    return not re.fullmatch(r"canceled\(\)|.*[^!]cancelled\(\).*", condition)


async def azure(world: World, file: str, occasion: str, stage: str, **extra: str) -> str:
    """Run the steps of a stage, from the one after the setup; return their output."""
    output = ""
    found = [step for name, step in steps(expanded(file, occasion)) if name == stage]
    for step in found:
        if re.search(r"run\.sh|uploadsummary", script(step)) and outcome_of(step.get("condition", "")):
            given = {name: value for name, value in step["env"].items() if not value.startswith("$(")}
            own = {**given, "PULUMI_BACKEND_URL": world.environment["PULUMI_BACKEND_URL"]}
            code, shown = await asyncio.to_thread(run_step, world, script(step), **{**own, **extra})
            assert code == 0, shown
            output += shown
    return output


async def github(world: World, run: str, **extra: str) -> str:
    """Run the steps of a job, from the one after the setup; return their output."""
    temp = world.folder / "temp"
    contexts = {"inputs.stack": STACK, "inputs.keep": "5", "runner.temp": str(temp), "github.token": "job-token-s3cret"}
    contexts |= {f"vars.{name}": "" for name in ("PULUMI_BACKEND_URL", "PULUMI_ORGANIZATION")}
    contexts |= {f"vars.AZURE_{name}_ID": world.environment[f"ARM_{name}_ID"] for name in ("CLIENT", "TENANT")}
    output = ""
    for step in steps_of(run):
        if "run" in step and outcome_of(step.get("if", "")):
            own = {name: value for name, value in variables(step, contexts).items() if value}
            place = {"RUNNER_TEMP": str(temp), "GITHUB_STEP_SUMMARY": str(world.folder / "page.md")}
            code, shown = await asyncio.to_thread(run_step, world, step["run"], **{**own, **place, **extra})
            assert code == 0, shown
            output += shown
    return output


async def test_azure_pipelines_plans_in_one_comment_then_distributes(factory: FactoryWorld, tmp_path: Path) -> None:
    """Each push updates the comment, and changes no lab; main distributes what it said, and shows what was done."""
    web = factory.add_lab("web", "Win2016")
    (first,) = factory.add_images((WINDOWS, 5))
    repos = AzureRepos()
    async with running(repos):
        run: dict[str, Any] = {"file": "azure-pipelines.yml", "occasion": "pull request", "stage": "plan_dev"}
        token = repos.job(tmp_path)
        shown = await azure(factory, **run, **token)
        assert "##vso[task.uploadsummary]" in shown and len(repos.bodies) == 1
        (second,) = factory.add_images((WINDOWS, 6))
        await azure(factory, **run, **token)
    (comment,) = repos.bodies
    assert comment.startswith(f"{marker(STACK)}\n### Plan of stack `imagefactory/dev`")
    assert all(f"| create | `{name}`" in comment for name in (first, second)) and "#### Errors" not in comment
    assert [one.partition(" ")[0] for one in repos.requests] == ["GET", "GET", "POST", "GET", "GET", "PATCH"]
    assert factory.held(web) == {} and factory.writes(web) == []
    shown = await azure(factory, "azure-pipelines.yml", "main", "up_dev")
    assert factory.held(web) == dict.fromkeys((first, second), "Succeeded"), shown
    page = (factory.folder / "temp" / "imagefactory-dev-summary.md").read_text("utf-8")
    assert first in page and second in page


async def test_an_invalid_configuration_replaces_the_plan_by_its_errors(factory: FactoryWorld, tmp_path: Path) -> None:
    """On GitHub; the run fails, and the comment of the earlier plan does not stay."""
    factory.add_lab("web", "Win2106")
    factory.define(WINDOWS)
    forge = GitHub()
    forge.add(f"{marker(STACK)}\n### Plan", "github-actions[bot]")
    plan, comment = (step["run"] for step in steps_of("plan")[2:4])
    async with running(forge):
        place = {"RUNNER_TEMP": str(factory.folder / "temp"), **forge.job(tmp_path)}
        code, _ = await asyncio.to_thread(run_step, factory, plan, **place)
        assert code != 0
        code, shown = await asyncio.to_thread(run_step, factory, comment, **place)
        assert (code, shown) == (0, "Stack dev: pull request 7: comment updated.\n")
    (body,) = forge.bodies
    assert "### No plan of stack `dev`" in body and 'error: Labs[0].ImagePaths[0] "Win2106"' in body


async def test_github_plans_and_then_the_night_saves_distributes_and_prunes(
    factory: FactoryWorld, tmp_path: Path
) -> None:
    """With federated sign-in alone; the plan is a comment, and the pages are published."""
    web = factory.add_lab("web", "Win2016")
    old = factory.add_images(*((WINDOWS, day) for day in range(1, 6)))
    factory.add_vm("golden", WINDOWS)
    factory.python = COLD  # which reads the certificates that the environment trusts
    forge = GitHub()
    async with running(forge), signed_in_by(github_job, factory.cloud.status(), tmp_path) as job:
        factory.environment = {**factory.environment, **job}
        await github(factory, "plan", **forge.job(tmp_path))
        assert len(forge.bodies) == 1 and old[0] in forge.bodies[0] and factory.held(web) == {}
        saved = await github(factory, "save")
        assert not factory.machines(), saved
        await github(factory, "up")
        held = set(factory.held(web))
        assert len(held) == 6 and set(old) < held
        await github(factory, "status")
        await github(factory, "prune")
    page = factory.folder / "temp" / "catalog.html"
    assert next(iter(held - set(old))) in page.read_text("utf-8").replace("<wbr>", "")
    assert "web" in (factory.folder / "temp" / "status-dev.html").read_text("utf-8")
    assert not list((factory.folder / "temp").glob("*.token")), "no token is left"
    shown = (factory.folder / "page.md").read_text("utf-8")
    assert "\n### Plan of stack" in f"\n{shown}" and "pulumi preview of dev" in shown and "# # #" not in shown
