"""The pipelines, as Azure DevOps runs them after it has expanded their template expressions."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.agent_commands import SET_VARIABLE, agent_commands
from tests.command_lines import ROOT, commands, unknown_words

PIPELINE = ROOT / "azure-pipelines.yml"
FACTORY_PIPELINE = ROOT / "pipelines" / "factory.yml"
BOTH = ("pulumi", "imagefactory")
SCHEMA = "vendor/azure-pipelines.json"
PULL_REQUEST = "eq(variables['Build.Reason'], 'PullRequest')"
FROM_MAIN = "and(ne(variables['Build.Reason'], 'PullRequest'), eq(variables['Build.SourceBranch'], 'refs/heads/main'))"
OCCASIONS = {
    "pull request": {PULL_REQUEST: True, FROM_MAIN: False},
    "main": {PULL_REQUEST: False, FROM_MAIN: True},
    "another branch": {PULL_REQUEST: False, FROM_MAIN: False},
}


def expanded(occasion: str, storage_auth: str = "aad") -> dict[str, Any]:
    """Return the pipeline with its `each`, `if` and step templates expanded for such a run.

    `storage_auth` is the value for its first stack.
    """
    document = yaml.safe_load(PIPELINE.read_text("utf-8"))
    parameters = {parameter["name"]: parameter["default"] for parameter in document["parameters"]}
    parameters["stacks"][0]["storageAuth"] = storage_auth
    result = _expand(document, {"parameters": parameters}, OCCASIONS[occasion])
    assert isinstance(result, dict)
    return result


def expanded_factory() -> dict[str, Any]:
    """Return the expanded pipeline of the factory lab."""
    document = yaml.safe_load(FACTORY_PIPELINE.read_text("utf-8"))
    parameters = {parameter["name"]: parameter["default"] for parameter in document["parameters"]}
    (job,) = document["jobs"]
    job["steps"][0]["template"] = f"pipelines/{job['steps'][0]['template']}"  # relative to its file
    result = _expand(document, {"parameters": parameters}, {})
    assert isinstance(result, dict)
    return result


def _expand(node: Any, names: dict[str, Any], truths: dict[str, bool]) -> Any:
    if isinstance(node, dict):
        return {key: _expand(value, names, truths) for key, value in node.items()}
    if isinstance(node, list):
        return [item for part in node for item in _expand_item(part, names, truths)]
    if isinstance(node, str):
        return re.sub(r"\$\{\{ *([\w.]+) *\}\}", lambda match: str(_value(match[1], names)), node)
    return node


def _expand_item(item: Any, names: dict[str, Any], truths: dict[str, bool]) -> Iterator[Any]:
    key, value = next(iter(item.items())) if isinstance(item, dict) else ("", "")
    if condition := re.fullmatch(r"\$\{\{ if (.*) \}\}", key):
        if unequal := re.fullmatch(r"ne\(([\w.]+), '(\w+)'\)", condition[1]):
            holds = _value(unequal[1], names) != unequal[2]
        else:
            holds = truths[condition[1]]
        yield from _expand(value, names, truths) if holds else ()
    elif loop := re.fullmatch(r"\$\{\{ each (\w+) in ([\w.]+) \}\}", key):
        for one in _value(loop[2], names):
            yield from _expand(value, {**names, loop[1]: one}, truths)
    elif key == "template":
        yield from yaml.safe_load((ROOT / value).read_text("utf-8"))["steps"]
    else:
        yield _expand(item, names, truths)


def _value(path: str, names: dict[str, Any]) -> Any:
    value: Any = names
    for part in path.split("."):
        value = value[part]
    return value


def steps(pipeline: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each step, in order, with the name of its stage."""
    for stage in pipeline["stages"]:
        for job in stage["jobs"]:
            inner = job["strategy"]["runOnce"]["deploy"] if "deployment" in job else job
            yield from ((stage["stage"], step) for step in inner["steps"])


def script(step: dict[str, Any]) -> str:
    """Return the shell script of a step, empty if it has none."""
    return str(step.get("bash") or step.get("inputs", {}).get("inlineScript", ""))


def previews(pipeline: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return each step that runs a preview, with the step that shows it on the run's page."""
    found = [step for _, step in steps(pipeline)]
    return [(one, after) for one, after in itertools.pairwise(found) if "pulumi preview" in script(one)]


def stacks() -> list[str]:
    return [stack["name"] for stack in yaml.safe_load(PIPELINE.read_text("utf-8"))["parameters"][0]["default"]]


def pulumi_commands(occasion: str, name: str) -> list[tuple[str, list[str]]]:
    """Return (stage, words) of each `pulumi <name>`."""
    return [
        (stage, command)
        for stage, step in steps(expanded(occasion))
        for command in commands(script(step))
        if command[:2] == ["pulumi", name]
    ]


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


@pytest.mark.parametrize("occasion", OCCASIONS)
def test_the_pipeline_is_valid_by_the_published_schema(occasion: str, tmp_path: Path) -> None:
    """For each kind of run."""
    assert not schema_errors(expanded(occasion), tmp_path)


def test_the_factory_pipeline_is_valid_by_the_published_schema(tmp_path: Path) -> None:
    """With its step template."""
    assert not schema_errors(expanded_factory(), tmp_path)


def test_the_factory_pipeline_saves_then_cleans_up_then_publishes_the_catalog() -> None:
    """Even if a VM is not ready, saved VMs are cleaned up and the catalog is published."""
    (job,) = expanded_factory()["jobs"]
    found = [command for step in job["steps"] for command in commands(script(step)) if command[0] == "imagefactory"]
    assert [command[1] for command in found] == ["save", "clean-vms", "prune", "catalog"]
    assert {" ".join(command): unknown_words(command) for command in found if unknown_words(command)} == {}
    later = [step for step in job["steps"] if "clean-vms" in script(step) or "publish" in step]
    assert [step["condition"] for step in later] == ["succeededOrFailed()"] * 2


def test_every_step_that_signs_in_keeps_its_session() -> None:
    """A federated token is valid for some 10 minutes; without this, a longer step could get no new token."""
    every = [step for _, step in steps(expanded("main"))] + [step for _, step in steps(expanded("pull request"))]
    every += expanded_factory()["jobs"][0]["steps"]
    signing_in = [step for step in every if step.get("task", "").startswith("AzureCLI@")]
    assert len(signing_in) >= 5
    assert all(step["inputs"].get("keepAzSessionActive") is True for step in signing_in)


def test_the_schema_check_finds_a_misspelled_input(tmp_path: Path) -> None:
    """One wrong key in one task."""
    pipeline = expanded("main")
    task = next(step for _, step in steps(pipeline) if "task" in step and "inlineScript" in step["inputs"])
    task["inputs"]["keepAzureSessionActive"] = task["inputs"].pop("keepAzSessionActive")
    assert schema_errors(pipeline, tmp_path)


@pytest.mark.parametrize("occasion", OCCASIONS)
def test_every_command_and_option_of_the_pipeline_exists(occasion: str) -> None:
    """In pulumi and imagefactory."""
    found = [command for _, step in steps(expanded(occasion)) for command in commands(script(step))]
    assert any(command[:2] == ["imagefactory", "validate"] for command in found)
    assert {" ".join(command): unknown_words(command) for command in found if unknown_words(command)} == {}


def test_a_pull_request_validates_and_previews_every_stack_and_changes_nothing() -> None:
    """Each with a service connection that is only for previews."""
    assert not pulumi_commands("pull request", "up")
    found = [preview for preview, _ in previews(expanded("pull request"))]
    assert [step["env"]["STACK"] for step in found] == stacks()
    assert all(step["inputs"]["azureSubscription"].endswith("-preview") for step in found)


def test_another_branch_than_main_only_validates() -> None:
    """A run that you start manually on a branch does not change a stack."""
    assert [stage["stage"] for stage in expanded("another branch")["stages"]] == ["validate"]


def test_main_updates_the_stacks_in_order_each_with_its_environment() -> None:
    """Stages without dependsOn run in sequence; the environment has approval and lock."""
    pipeline = expanded("main")
    validate, *updates = pipeline["stages"]
    assert validate["stage"] == "validate"
    assert [stage["stage"] for stage in updates] == [f"up_{stack}" for stack in stacks()]
    assert not any("dependsOn" in stage or "condition" in stage for stage in pipeline["stages"])
    assert [stage["jobs"][0]["environment"] for stage in updates] == [f"imagefactory-{stack}" for stack in stacks()]
    assert pipeline["lockBehavior"] == "sequential"


def test_every_up_continues_after_failures_and_the_second_one_skips_the_refresh() -> None:
    """Without a preview, which would stop before the first update, and with `--parallel`."""
    for stack in stacks():
        found = [command for stage, command in pulumi_commands("main", "up") if stage == f"up_{stack}"]
        assert ["--refresh" in command for command in found] == [True, False]
        for command in found:
            assert {"--yes", "--skip-preview", "--continue-on-error", "--non-interactive"} <= set(command)
            assert int(command[command.index("--parallel") + 1]) >= 32


@pytest.mark.parametrize("occasion", OCCASIONS)
def test_the_pipeline_has_no_secret(occasion: str) -> None:
    """It uses only workload identity: no secret in a variable or in a script."""
    pipeline = expanded(occasion)
    assert "addSpnToEnvironment" not in PIPELINE.read_text("utf-8")
    names = {*pipeline["variables"]}
    for _, step in steps(pipeline):
        names |= set(step.get("env", {}))
        assert re.findall(r"\w*(?:secret|password|passphrase|token|sas|key)\w*=\S*", script(step), re.IGNORECASE) in (
            [],
            ['PULUMI_CONFIG_PASSPHRASE=""'],
        )
    # AZURE_TOKEN_CREDENTIALS selects how to sign in; it is not a token.
    secret = re.compile("secret|password|passphrase|token|sas|key", re.IGNORECASE)
    assert [name for name in names if secret.search(name)] in ([], ["AZURE_TOKEN_CREDENTIALS"])


def test_the_trigger_excludes_no_file_that_a_stack_reads() -> None:
    """A change of the product, its configuration or its locks always starts a run."""
    product = ["__main__.py", "components", "imagefactory", "providers", "pyproject.toml"]
    data = ["Configuration", "Pulumi.yaml", "Pulumi.dev.yaml", "requirements.txt", "azure-pipelines.yml", "pipelines"]
    read = [*product, *data]
    assert all((ROOT / path).exists() for path in read)
    pipeline = expanded("main")
    assert not set(read) & {*pipeline["trigger"]["paths"]["exclude"], *pipeline["pr"]["paths"]["exclude"]}


def test_each_stack_has_a_file_with_the_labs_file_that_the_pipeline_validates() -> None:
    """So the validated file is the one that the stack uses."""
    for stack in expanded("main")["parameters"][0]["default"]:
        settings = yaml.safe_load((ROOT / f"Pulumi.{stack['name']}.yaml").read_text("utf-8"))["config"]
        assert stack["labs"] == settings.get("imagefactory:labs", "labs.json")


def run_step(text: str, folder: Path, body: str, *programs: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a step's script in bash, with fake `programs` (default: pulumi) that record what was typed and run `body`."""
    for program in programs or ("pulumi",):
        fake = folder / program
        fake.write_text(f'#!/bin/bash\necho "${{0##*/}} $@" >>"{folder}/calls"\n{body}\n', "utf-8")
        fake.chmod(0o755)
    bash = shutil.which("bash")
    assert bash
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "STACK": "dev", "AGENT_TEMPDIRECTORY": str(folder), **env}
    return subprocess.run(
        [bash, "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("codes", "calls", "code"), [("0 0", 2, 0), ("0 255 0", 3, 0), ("0 255 3", 3, 3), ("1 0", 2, 1), ("1 255 3", 3, 3)]
)
def test_main_adopts_images_first_and_a_failed_up_runs_again_without_refresh(
    codes: str, calls: int, code: int, tmp_path: Path
) -> None:
    """The exit code of the last run is that of the step; a failed `adopt` stops no run, and fails the step."""
    text = next(script(step) for _, step in steps(expanded("main")) if "pulumi up" in script(step))
    body = f'codes=({codes}); exit "${{codes[$(wc -l <"{tmp_path}/calls") - 1]}}"'
    done = run_step(text, tmp_path, body, *BOTH)
    called = (tmp_path / "calls").read_text("utf-8").splitlines()
    assert (len(called), done.returncode) == (calls, code)
    assert called[0] == "imagefactory adopt --stack dev --yes"
    assert ["--refresh" in call for call in called[1:]] == [True, False][: calls - 1]


@pytest.mark.parametrize("codes", ["0 0", "0 1", "1 0", "1 1"])
def test_a_preview_is_shown_on_the_page_of_the_run_and_keeps_its_exit_code(codes: str, tmp_path: Path) -> None:
    """A reviewer sees without the log what would be taken over and what would be created; either one, if it fails,
    fails the step, and `adopt` only reads."""
    preview, show = previews(expanded("pull request"))[0]
    exit_code = f'"${{codes[$(wc -l <"{tmp_path}/calls") - 1]}}"'
    body = f"""codes=({codes}); echo "+ ${{0##*/}}"; echo '```'; exit {exit_code}"""
    done = run_step(script(preview), tmp_path, body, *BOTH)
    assert done.returncode == int("1" in codes) and done.stdout == "+ imagefactory\n```\n+ pulumi\n```\n"
    adopt, *_ = (tmp_path / "calls").read_text("utf-8").splitlines()
    assert adopt == "imagefactory adopt --stack dev --dry-run"
    report = tmp_path / "preview-dev.md"
    shown = "    + imagefactory\n    ```\n    + pulumi\n    ```\n"
    assert report.read_text("utf-8") == f"## pulumi preview of dev\n\n{shown}"
    assert run_step(script(show), tmp_path, "exit 9").stdout == f"##vso[task.uploadsummary]{report}\n"
    assert show["condition"] == "succeededOrFailed()"


def test_without_a_preview_the_page_of_the_run_has_none(tmp_path: Path) -> None:
    """For example, after a failed setup."""
    _, show = previews(expanded("pull request"))[0]
    done = run_step(script(show), tmp_path, "exit 9")
    assert (done.returncode, done.stdout) == (0, "")


HOSTILE = f"  + tag: {SET_VARIABLE}\n ::add-mask::x\n  https://a.blob.example/c/b?sv=1&sig=AbC"
SHOWN = "  + tag: # #vso[task.setvariable variable=BASH_ENV]evil\n : :add-mask::x\n  https://a.blob.example/c/b\n"


def shown_steps() -> list[dict[str, Any]]:
    """Return the steps that print names from labs."""
    found = [step for occasion in OCCASIONS for _, step in steps(expanded(occasion))]
    found += expanded_factory()["jobs"][0]["steps"]
    return [step for step in found if re.search(r"pulumi (up|preview)|imagefactory (?!validate)", script(step))]


def test_no_text_from_a_lab_is_a_command_to_the_agent(tmp_path: Path) -> None:
    """From any program, on either stream, with any exit code."""
    for number, step in enumerate(shown_steps()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "up-dev.1.jsonl").touch()
        body = f"printf '%s\\n' {shlex.quote(HOSTILE)}; printf '%s\\n' {shlex.quote(HOSTILE)} >&2; exit 3"
        done = run_step(script(step), folder, body, *BOTH, KEEP="2", BUILD_ARTIFACTSTAGINGDIRECTORY=str(folder))
        assert done.returncode == 3, script(step)
        files = script(step).count("imagefactory.neutral \\\n")  # what else it shows is in files
        runs = len((folder / "calls").read_text("utf-8").splitlines()) - files
        assert done.stdout == SHOWN * 2 * runs and done.stderr == ""
        assert not agent_commands(done.stdout)
        assert all(SHOWN.splitlines()[0] in report.read_text("utf-8") for report in folder.glob("*.md"))


def test_every_step_that_prints_text_of_others_has_restricted_commands() -> None:
    """So no line sets a variable or uploads a file. Three steps, which print only commands, are unrestricted."""
    every = [step for occasion in OCCASIONS for _, step in steps(expanded(occasion))]
    every += expanded_factory()["jobs"][0]["steps"]
    targets = {script(step): step.get("target") for step in every if script(step)}
    free = [text for text, target in targets.items() if target is None]
    limits = {"commands": "restricted", "settableVariables": "none"}
    assert len(free) == 3 and not re.search("pulumi [a-z]|imagefactory|cat", "".join(free))
    assert all(target == limits for target in targets.values() if target)


def test_a_stack_with_access_by_storage_keys_is_not_previewed(tmp_path: Path) -> None:
    """A pull request's code could read the keys. Other stacks are previewed, and main updates all stacks."""
    pipeline = expanded("pull request", "key")
    assert [stage["stage"] for stage in pipeline["stages"]] == ["validate", f"preview_{stacks()[1]}"]
    assert not schema_errors(pipeline, tmp_path)
    assert len(expanded("main", "key")["stages"]) == 1 + len(stacks())


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ("config:\n  imagefactory:storageAuth: key\n", 1),
        ("config: { 'imagefactory:storageAuth': 'key' }\n", 1),
        ("config:\n  # imagefactory:storageAuth: key\n", 0),
        ("config:\n  imagefactory:storageAuth: aad # key\n", 0),
    ],
)
def test_storage_keys_that_the_pipeline_does_not_declare_stop_the_run(settings: str, code: int, tmp_path: Path) -> None:
    """Before any preview: the error says to set `storageAuth: key` in the pipeline as well as in the stack's file."""
    (tmp_path / "Pulumi.dev.yaml").write_text(settings, "utf-8")
    checks = [step for _, step in steps(expanded("pull request")) if "storageAuth" in script(step)]
    done = run_step(f"cd '{tmp_path}'\n{script(checks[0])}", tmp_path, "exit 9")
    assert done.returncode == code and done.stderr.count("\n") == code
    assert len([step for _, step in steps(expanded("pull request", "key")) if "storageAuth" in script(step)]) == 1


def test_the_validate_step_passes_on_the_sample_configuration(tmp_path: Path) -> None:
    """With the real command."""
    step = next(step for _, step in steps(expanded("main")) if "imagefactory validate" in script(step))
    done = run_step(script(step), tmp_path, "exit 9", **step["env"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "Configuration: 3 labs" in done.stdout
