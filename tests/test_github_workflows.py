"""The workflows of GitHub Actions: valid, pinned, without a secret, and the same steps as in Azure Pipelines."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.azure_templates import script
from tests.command_lines import ROOT, commands, unknown_words
from tests.github_workflows import ACTIONS, CALLED, WORKFLOWS, document, every_step, jobs, steps_of
from tests.test_pipeline import STACKS
from tests.test_pipeline import every_step as azure_steps

COMMIT, NIGHTLY, WEEKLY = "imagefactory", "imagefactory-nightly", "imagefactory-weekly"
CALLING = (COMMIT, NIGHTLY, WEEKLY)


def is_valid(file: Path, schema: str) -> bool:
    """Whether a file is valid by a published schema."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.github-{schema}", str(file)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def calls(workflow: str) -> dict[str, dict[str, Any]]:
    """Return the jobs of a workflow that call the one for a stack."""
    found = {name: job for name, job in jobs(workflow).items() if "uses" in job}
    assert {job["uses"] for job in found.values()} == {f"./{CALLED.relative_to(ROOT)}"}
    return found


def test_workflows_and_actions_are_valid_by_the_published_schemas(tmp_path: Path) -> None:
    """Which find a misspelled key."""
    assert len(WORKFLOWS) == 4 and all(is_valid(file, "workflows") for file in WORKFLOWS)
    assert ACTIONS and all(is_valid(file, "actions") for file in ACTIONS)
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(CALLED.read_text("utf-8").replace("runs-on:", "run-on:"), "utf-8")
    assert not is_valid(wrong, "workflows")


def test_a_pull_request_is_planned_for_every_stack_and_main_updates_them_in_order() -> None:
    """A fork, whose jobs cannot sign in, is not planned; each stack waits for the one before."""
    found = calls(COMMIT)
    assert list(found) == [f"{run}-{stack}" for run in ("plan", "up") for stack in STACKS]
    for stack in STACKS:
        plan, up = found[f"plan-{stack}"], found[f"up-{stack}"]
        assert plan["with"] == {"run": "plan", "stack": stack, "environment": f"imagefactory-{stack}-preview"}
        assert "head.repo.full_name == github.repository" in plan["if"] and "'pull_request'" in plan["if"]
        assert plan["permissions"] == {"contents": "read", "id-token": "write", "pull-requests": "write"}
        assert up["with"] == {"run": "up", "stack": stack, "environment": f"imagefactory-{stack}"}
        assert up["permissions"] == {"contents": "read", "id-token": "write"}
    needs = [found[f"up-{stack}"]["needs"] for stack in STACKS]
    assert needs == ["validate", *(f"up-{stack}" for stack in STACKS[:-1])]
    assert "github.ref == 'refs/heads/main'" in found[f"up-{STACKS[0]}"]["if"]


def test_the_night_saves_then_distributes_then_prunes() -> None:
    """A VM that is not saved, or a lab that fails, keeps nothing else from being done; a canceled run ends."""
    found = calls(NIGHTLY)
    assert [job["with"]["run"] for job in found.values()] == ["save", *["up"] * len(STACKS), "prune"]
    assert [job.get("needs") for job in found.values()] == [None, "save", "up-dev", ["save", "up-prod"]]
    assert all("!cancelled()" in job["if"] for job in list(found.values())[1:])
    assert found["up-prod"]["if"].endswith("needs.up-dev.result == 'success' }}")
    assert {job["with"]["environment"] for job in (found["save"], found["prune"])} == {"imagefactory-dev-save"}


def test_every_week_the_status_of_each_stack_is_published() -> None:
    """With an identity that only reads."""
    found = calls(WEEKLY)
    assert [job["with"] for job in found.values()] == [
        {"run": "status", "stack": stack, "environment": f"imagefactory-{stack}-preview"} for stack in STACKS
    ]


def test_both_systems_run_the_same_steps() -> None:
    """In the same order for each kind of run; so what is tested of one is true of the other."""
    azure = {script(step) for step in azure_steps() if "run.sh" in script(step)}
    assert {step["run"] for step in every_step() if "run.sh" in step.get("run", "")} == azure
    order = {
        run: [step["run"].split()[-1] for step in steps_of(run) if "run.sh" in step.get("run", "")]
        for run in ("plan", "up", "save", "prune", "status")
    }
    assert order == {
        "plan": ["plan", "comment"],
        "up": ["up", "after-cancel", "summary"],
        "save": ["save", "wait"],
        "prune": ["prune", "catalog"],
        "status": ["status"],
    }


def test_no_workflow_runs_before_it_is_switched_on() -> None:
    """So a clone that uses Azure Pipelines has no failing workflows."""
    for workflow in CALLING:
        roots = [job for job in jobs(workflow).values() if "needs" not in job]
        assert roots and all("vars.IMAGEFACTORY == 'on'" in job["if"] for job in roots)


def test_every_action_of_others_is_pinned_by_commit_and_names_its_version() -> None:
    """Everyone who can move a tag could run code with the permissions of the job otherwise."""
    lines = [line for file in (*WORKFLOWS, *ACTIONS) for line in file.read_text("utf-8").splitlines()]
    used = [line.split("uses:")[1].strip() for line in lines if "uses:" in line]
    foreign = [one for one in used if not one.startswith("./")]
    assert len(foreign) >= 3
    assert [one for one in foreign if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)] == []
    assert len({one.partition("@")[0] for one in foreign}) == len(set(foreign)), "one version of each"


def test_no_expression_is_in_a_script() -> None:
    """What others write, such as the name of a branch, would become a part of the script; variables do not."""
    assert [step["run"] for step in every_step() if "${{" in step.get("run", "")] == []


def test_no_workflow_runs_code_of_a_fork_with_permissions() -> None:
    """`pull_request_target` and `workflow_run` would; a checkout leaves no token behind."""
    for file in WORKFLOWS:
        assert {*document(file)[True]} <= {"pull_request", "push", "schedule", "workflow_dispatch", "workflow_call"}
    checkouts = [step for step in every_step() if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts and all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_jobs_may_read_only_but_for_the_identity_token_and_the_comment() -> None:
    """Without `permissions`, the repository's settings would say; the called workflow has those of its caller."""
    for workflow in CALLING:
        found = document(CALLED.with_name(f"{workflow}.yml"))
        assert found["permissions"]["contents"] == "read"
        for permissions in [found["permissions"], *(job.get("permissions", {}) for job in found["jobs"].values())]:
            assert {name for name, value in permissions.items() if value == "write"} <= {"id-token", "pull-requests"}
    assert "permissions" not in document(CALLED)


def test_no_secret_is_stored_and_one_step_has_the_token_of_its_job() -> None:
    """Ids of applications are variables of the environments."""
    for file in (*WORKFLOWS, *ACTIONS):
        assert "secrets." not in file.read_text("utf-8")
    with_token = [step["run"] for step in every_step() if "github.token" in str(step.get("env", {}))]
    assert with_token == ["exec pipelines/run.sh comment"]


def test_one_run_works_on_a_stack_at_a_time_and_none_is_canceled_for_another() -> None:
    """Canceling an update would interrupt its copies."""
    for file in WORKFLOWS:
        found = document(file)
        for one in (found, *found["jobs"].values()):
            assert one.get("concurrency", {}).get("cancel-in-progress", False) is False
    group = document(CALLED)["jobs"]["job"]["concurrency"]["group"]
    assert "${{ inputs.stack }}" in group and "${{ inputs.run }}" in group


def test_every_command_and_option_of_the_workflows_exists() -> None:
    """In pulumi and imagefactory."""
    found = [command for step in every_step() for command in commands(step.get("run", ""))]
    assert ["imagefactory", "validate", "--format", "github"] in found
    assert {" ".join(command): unknown_words(command) for command in found if unknown_words(command)} == {}


@pytest.mark.parametrize("event", ["pull_request", "push"])
def test_the_trigger_excludes_no_file_that_a_stack_reads(event: str) -> None:
    """A change of the product, its configuration or its locks always starts a run."""
    ignored = document(CALLED.with_name(f"{COMMIT}.yml"))[True][event]["paths-ignore"]
    read = ["__main__.py", "components/**", "imagefactory/**", "providers/**", "pyproject.toml", "Configuration/**"]
    read += ["Pulumi.yaml", "Pulumi.*.yaml", "requirements.txt", "pipelines/**", "pipelines/*.sh", ".github/**"]
    assert not set(read) & set(ignored)


def test_each_stack_has_a_file() -> None:
    """So what the workflows name exists."""
    for workflow in CALLING:
        for job in calls(workflow).values():
            assert yaml.safe_load((ROOT / f"Pulumi.{job['with']['stack']}.yaml").read_text("utf-8"))
