"""The pipelines of Azure DevOps, as it runs them after it has expanded their templates."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.azure_templates import OCCASIONS, defaults, expanded, script, steps
from tests.command_lines import ROOT, commands, unknown_words

COMMIT, NIGHTLY, WEEKLY, STAGES = (
    "azure-pipelines.yml",
    "pipelines/nightly.yml",
    "pipelines/weekly.yml",
    "pipelines/stages.yml",
)
SCHEMA = "vendor/azure-pipelines.json"
RUNS = [*((COMMIT, occasion) for occasion in OCCASIONS), (NIGHTLY, "main"), (WEEKLY, "main")]
STACKS = [stack["name"] for stack in defaults(STAGES)["stacks"]]
RUN = re.compile(r"exec pipelines/run\.sh ([\w-]+)")
LIMITS = {"commands": "restricted", "settableVariables": "none"}


def every_step() -> list[dict[str, Any]]:
    return [step for file, occasion in RUNS for _, step in steps(expanded(file, occasion))]


def stages(file: str, occasion: str = "main", **parameters: Any) -> list[str]:
    return [stage["stage"] for stage in expanded(file, occasion, **parameters)["stages"]]


def ran(file: str, occasion: str = "main") -> list[tuple[str, str, str]]:
    """Return stage, step of run.sh and service connection of each step that runs it."""
    return [
        (stage, found[1], step.get("inputs", {}).get("azureSubscription", ""))
        for stage, step in steps(expanded(file, occasion))
        if (found := RUN.fullmatch(script(step)))
    ]


def with_keys(number: int) -> list[dict[str, Any]]:
    """Return the stacks; one of them opens storage by keys."""
    stacks: list[dict[str, Any]] = copy.deepcopy(defaults(STAGES)["stacks"])
    stacks[number]["storageAuth"] = "key"
    return stacks


def schema_errors(pipeline: dict[str, Any], folder: Path) -> str:
    """Return the errors of a pipeline by the published schema; empty if it is valid."""
    file = folder / "pipeline.yml"
    file.write_text(yaml.safe_dump(pipeline, sort_keys=False), "utf-8")
    schema = json.loads(files("check_jsonschema.builtin_schemas").joinpath(SCHEMA).read_text("utf-8"))
    # Azure DevOps documents and supports this key of tasks, but the schema omits it.
    schema["definitions"]["task"]["properties"].setdefault("target", {"$ref": "#/definitions/stepTarget"})
    (folder / "schema.json").write_text(json.dumps(schema), "utf-8")
    # The schema's patterns are regular expressions without the flag u.
    options = ["--schemafile", str(folder / "schema.json"), "--regex-variant", "nonunicode"]
    command = [sys.executable, "-m", "check_jsonschema", *options, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize(("file", "occasion"), RUNS)
def test_the_pipelines_are_valid_by_the_published_schema(file: str, occasion: str, tmp_path: Path) -> None:
    """For each kind of run, with their templates."""
    assert not schema_errors(expanded(file, occasion), tmp_path)


def test_the_schema_check_finds_a_misspelled_input(tmp_path: Path) -> None:
    """One wrong key in one task."""
    pipeline = expanded(COMMIT)
    task = next(step for _, step in steps(pipeline) if "task" in step and "inlineScript" in step["inputs"])
    task["inputs"]["keepAzureSessionActive"] = task["inputs"].pop("keepAzSessionActive")
    assert schema_errors(pipeline, tmp_path)


def test_a_pull_request_is_planned_for_every_stack_and_changes_nothing() -> None:
    """Each with a service connection that is only for previews. A configuration that is not valid is planned, too, so
    that the comment does not show an older plan."""
    found = ran(COMMIT, "pull request")
    assert [step for _, step, _ in found] == ["plan", "comment"] * len(STACKS)
    assert [connection for _, step, connection in found if step == "plan"] == [
        f"imagefactory-{s}-preview" for s in STACKS
    ]
    _, *plans = expanded(COMMIT, "pull request")["stages"]
    assert all(stage["dependsOn"] == [] for stage in plans)


def test_the_comment_is_written_with_the_token_of_the_job_also_after_a_failed_plan() -> None:
    """No other step has that token."""
    for step in every_step():
        if script(step).endswith("run.sh comment"):
            assert step["condition"].startswith("and(succeededOrFailed(), ")
            assert step["env"]["SYSTEM_ACCESSTOKEN"] == "$(System.AccessToken)"
        else:
            assert "AccessToken" not in json.dumps(step)


def test_another_branch_than_main_only_validates() -> None:
    """A run that you start manually on a branch does not change a stack."""
    assert stages(COMMIT, "another branch") == ["validate"]
    assert stages(NIGHTLY, "another branch") == []


def test_main_updates_the_stacks_in_order_each_with_its_environment() -> None:
    """Stages without dependsOn run in sequence; the environment has approval and lock."""
    pipeline = expanded(COMMIT)
    validate, *updates = pipeline["stages"]
    assert validate["stage"] == "validate"
    assert [stage["stage"] for stage in updates] == [f"up_{stack}" for stack in STACKS]
    assert not any("dependsOn" in stage or "condition" in stage for stage in pipeline["stages"])
    assert [stage["jobs"][0]["environment"] for stage in updates] == [f"imagefactory-{stack}" for stack in STACKS]
    assert pipeline["lockBehavior"] == expanded(NIGHTLY)["lockBehavior"] == "sequential"
    assert [step for stage, step, _ in ran(COMMIT) if stage == "up_dev"] == ["up", "after-cancel", "summary"]


def test_the_night_saves_then_distributes_then_prunes_and_publishes_the_catalog() -> None:
    """A VM that is not saved, or a lab that fails, keeps nothing else from being done."""
    pipeline = expanded(NIGHTLY)
    assert [stage["stage"] for stage in pipeline["stages"]] == ["save", *(f"up_{stack}" for stack in STACKS), "prune"]
    ups = ["up", "after-cancel", "summary"] * len(STACKS)
    assert [step for _, step, _ in ran(NIGHTLY)] == ["save", "wait", *ups, "prune", "catalog"]
    save, prune = pipeline["stages"][0], pipeline["stages"][-1]
    assert save["jobs"][0]["continueOnError"] == "true" and prune["condition"] == "succeededOrFailed()"
    assert [step["condition"] for _, step in steps(pipeline) if "publish" in step][-1] == "succeededOrFailed()"
    assert {connection for stage, _, connection in ran(NIGHTLY) if stage in {"save", "prune"}} == {
        "imagefactory-dev-save",
        "",
    }


def test_every_week_the_status_of_each_stack_is_published() -> None:
    """With a connection that only reads; also where a lab is behind, which fails the job."""
    assert [(step, connection) for _, step, connection in ran(WEEKLY)] == [
        ("status", f"imagefactory-{stack}-preview") for stack in STACKS
    ]
    published = [step for _, step in steps(expanded(WEEKLY)) if "publish" in step]
    assert [step["artifact"] for step in published] == [f"status-{stack}" for stack in STACKS]
    assert all(step["condition"] == "succeededOrFailed()" for step in published)


def test_every_step_that_signs_in_keeps_its_session() -> None:
    """A federated token is valid for some 10 minutes; without this, a longer step could get no new token."""
    signing_in = [step for step in every_step() if step.get("task", "").startswith("AzureCLI@")]
    assert len(signing_in) >= 10
    assert all(step["inputs"].get("keepAzSessionActive") is True for step in signing_in)


def test_a_canceled_step_has_five_minutes_and_a_later_step_that_waits_for_it() -> None:
    """The agent signals the task, not the script in it, and would kill what still runs at the end of the job."""
    for file in (COMMIT, NIGHTLY):
        for stage in expanded(file)["stages"]:
            for job in stage["jobs"]:
                found = [step for _, step in steps({"stages": [{"stage": "", "jobs": [job]}]})]
                names = [match[1] for step in found if (match := RUN.fullmatch(script(step)))]
                if {"up", "save"} & set(names):
                    assert job["cancelTimeoutInMinutes"] == "5" and job["timeoutInMinutes"] == "0"
                    waits = [step for step in found if script(step).endswith(("run.sh after-cancel", "run.sh wait"))]
                    assert [step["condition"] for step in waits] == ["canceled()"]


def test_every_command_and_option_of_the_pipelines_exists() -> None:
    """In pulumi and imagefactory, of their scripts, too."""
    text = re.sub(r"(?m)^\w+\(\) \{ ", "", (ROOT / "pipelines" / "run.sh").read_text("utf-8"))
    texts = [*map(script, every_step()), re.sub(r"\brun (?=imagefactory|pulumi)", "", text)]
    found = [command for text in texts for command in commands(text)]
    used = {command[1] for command in found if command[0] == "imagefactory"}
    saving = {"save", "clean-vms", "prune", "catalog"}
    assert used == {"validate", "plan", "comment", "adopt", "summary", "status", "doctor"} | saving
    assert {" ".join(command): unknown_words(command) for command in found if unknown_words(command)} == {}


def test_the_pipelines_have_no_secret() -> None:
    """They use only workload identity: no secret in a variable or in a script."""
    secret = re.compile("secret|password|passphrase|token|sas|key", re.IGNORECASE)
    for file, occasion in RUNS:
        pipeline = expanded(file, occasion)
        names = {*pipeline["variables"]}
        for _, step in steps(pipeline):
            names |= set(step.get("env", {}))
            assert not secret.search(script(step))
        # AZURE_TOKEN_CREDENTIALS selects how to sign in; the access token is the job's own.
        assert {name for name in names if secret.search(name)} <= {"AZURE_TOKEN_CREDENTIALS", "SYSTEM_ACCESSTOKEN"}
    assert not any("addSpnToEnvironment" in (ROOT / file).read_text("utf-8") for file in (STAGES, "pipelines/step.yml"))


def test_the_trigger_excludes_no_file_that_a_stack_reads() -> None:
    """A change of the product, its configuration or its locks always starts a run."""
    product = ["__main__.py", "components", "imagefactory", "providers", "pyproject.toml"]
    data = ["Configuration", "Pulumi.yaml", "Pulumi.dev.yaml", "requirements.txt", "azure-pipelines.yml", "pipelines"]
    read = [*product, *data]
    assert all((ROOT / path).exists() for path in read)
    pipeline = expanded(COMMIT)
    assert not set(read) & {*pipeline["trigger"]["paths"]["exclude"], *pipeline["pr"]["paths"]["exclude"]}


def test_each_stack_has_a_file_with_the_labs_file_that_the_pipeline_validates() -> None:
    """So the validated file is the one that the stack uses."""
    for stack in defaults(STAGES)["stacks"]:
        settings = yaml.safe_load((ROOT / f"Pulumi.{stack['name']}.yaml").read_text("utf-8"))["config"]
        assert stack["labs"] == settings.get("imagefactory:labs", "labs.json")


def test_every_step_that_prints_text_of_others_has_restricted_commands() -> None:
    """So no line sets a variable or uploads a file. Three scripts, which print only commands, are unrestricted."""
    targets = {script(step): step.get("target") for step in every_step() if script(step)}
    free = [text for text, target in targets.items() if target is None]
    assert len(free) == 3 and not re.search(r"pulumi [a-z]|imagefactory [a-z]|run\.sh|cat ", "".join(free))
    assert all(target == LIMITS for target in targets.values() if target)


def test_a_stack_with_access_by_storage_keys_is_not_planned(tmp_path: Path) -> None:
    """A pull request's code could read the keys. Other stacks are planned, and main updates all stacks."""
    assert stages(COMMIT, "pull request", stacks=with_keys(0)) == ["validate", f"plan_{STACKS[1]}"]
    assert not schema_errors(expanded(COMMIT, "pull request", stacks=with_keys(0)), tmp_path)
    assert len(stages(COMMIT, stacks=with_keys(0))) == 1 + len(STACKS)
