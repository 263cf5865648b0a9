"""The pipelines, as Azure DevOps sees them once their template expressions are expanded."""

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
SCHEMA = "vendor/azure-pipelines.json"
PULL_REQUEST = "eq(variables['Build.Reason'], 'PullRequest')"
FROM_MAIN = "and(ne(variables['Build.Reason'], 'PullRequest'), eq(variables['Build.SourceBranch'], 'refs/heads/main'))"
OCCASIONS = {
    "pull request": {PULL_REQUEST: True, FROM_MAIN: False},
    "main": {PULL_REQUEST: False, FROM_MAIN: True},
    "another branch": {PULL_REQUEST: False, FROM_MAIN: False},
}


def expanded(occasion: str, storage_auth: str = "aad") -> dict[str, Any]:
    """The pipeline with its `each`, `if` and step templates replaced, as for a run of that kind.

    `storage_auth` is what its first stack declares.
    """
    document = yaml.safe_load(PIPELINE.read_text("utf-8"))
    parameters = {parameter["name"]: parameter["default"] for parameter in document["parameters"]}
    parameters["stacks"][0]["storageAuth"] = storage_auth
    result = _expand(document, {"parameters": parameters}, OCCASIONS[occasion])
    assert isinstance(result, dict)
    return result


def expanded_factory() -> dict[str, Any]:
    """The pipeline of the factory lab."""
    document = yaml.safe_load(FACTORY_PIPELINE.read_text("utf-8"))
    parameters = {parameter["name"]: parameter["default"] for parameter in document["parameters"]}
    (job,) = document["jobs"]
    job["steps"][0]["template"] = f"pipelines/{job['steps'][0]['template']}"  # relative to the file that names it
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
    """Each step with the name of its stage, in order."""
    for stage in pipeline["stages"]:
        for job in stage["jobs"]:
            inner = job["strategy"]["runOnce"]["deploy"] if "deployment" in job else job
            yield from ((stage["stage"], step) for step in inner["steps"])


def script(step: dict[str, Any]) -> str:
    """The shell text of a step, empty if it has none."""
    return str(step.get("bash") or step.get("inputs", {}).get("inlineScript", ""))


def previews(pipeline: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each step that makes a preview, with the one that puts it on the run's page."""
    found = [step for _, step in steps(pipeline)]
    return [(one, after) for one, after in itertools.pairwise(found) if "pulumi preview" in script(one)]


def stacks() -> list[str]:
    return [stack["name"] for stack in yaml.safe_load(PIPELINE.read_text("utf-8"))["parameters"][0]["default"]]


def pulumi_commands(occasion: str, verb: str) -> list[tuple[str, list[str]]]:
    """(stage, words) of each `pulumi <verb>`."""
    return [
        (stage, command)
        for stage, step in steps(expanded(occasion))
        for command in commands(script(step))
        if command[:2] == ["pulumi", verb]
    ]


def schema_errors(pipeline: dict[str, Any], folder: Path) -> str:
    """What the published schema has against a pipeline; empty: nothing."""
    file = folder / "pipeline.yml"
    file.write_text(yaml.safe_dump(pipeline, sort_keys=False), "utf-8")
    schema = json.loads(files("check_jsonschema.builtin_schemas").joinpath(SCHEMA).read_text("utf-8"))
    # The reference of steps.task has it and the agent reads it; the schema forgot it where it closes the list.
    schema["definitions"]["task"]["properties"].setdefault("target", {"$ref": "#/definitions/stepTarget"})
    (folder / "schema.json").write_text(json.dumps(schema), "utf-8")
    # The schema's patterns are written for regular expressions without the flag u.
    options = ["--schemafile", str(folder / "schema.json"), "--regex-variant", "nonunicode"]
    command = [sys.executable, "-m", "check_jsonschema", *options, str(file)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if answer.returncode == 0 else answer.stdout + answer.stderr


@pytest.mark.parametrize("occasion", OCCASIONS)
def test_the_pipeline_meets_the_published_schema(occasion: str, tmp_path: Path) -> None:
    """Whatever starts it, Azure DevOps gets a file that its own schema accepts."""
    assert not schema_errors(expanded(occasion), tmp_path)


def test_the_factorys_pipeline_meets_the_published_schema(tmp_path: Path) -> None:
    """As the other one."""
    assert not schema_errors(expanded_factory(), tmp_path)


def test_the_factorys_pipeline_saves_then_cleans_then_publishes_and_every_word_is_known() -> None:
    """A VM that is not ready does not keep saved ones from being cleaned up, and everybody sees the catalog."""
    (job,) = expanded_factory()["jobs"]
    found = [command for step in job["steps"] for command in commands(script(step)) if command[0] == "imagefactory"]
    assert [command[1] for command in found] == ["save", "clean-vms", "prune", "catalog"]
    assert {" ".join(command): unknown_words(command) for command in found if unknown_words(command)} == {}
    later = [step for step in job["steps"] if "clean-vms" in script(step) or "publish" in step]
    assert [step["condition"] for step in later] == ["succeededOrFailed()"] * 2


def test_the_schema_check_sees_a_misspelt_input(tmp_path: Path) -> None:
    """The check is no formality: one wrong key in one task is found."""
    pipeline = expanded("main")
    task = next(step for _, step in steps(pipeline) if "task" in step and "inlineScript" in step["inputs"])
    task["inputs"]["keepAzureSessionActive"] = task["inputs"].pop("keepAzSessionActive")
    assert schema_errors(pipeline, tmp_path)


@pytest.mark.parametrize("occasion", OCCASIONS)
def test_every_command_has_only_words_that_its_program_knows(occasion: str) -> None:
    """The pipeline cannot fail for an option that pulumi or imagefactory does not have."""
    found = [command for _, step in steps(expanded(occasion)) for command in commands(script(step))]
    assert any(command[:2] == ["imagefactory", "validate"] for command in found)
    assert {" ".join(command): unknown_words(command) for command in found if unknown_words(command)} == {}


def test_a_pull_request_validates_and_previews_every_stack_and_changes_nothing() -> None:
    """Code review shows each environment; what only a preview may use is used."""
    assert not pulumi_commands("pull request", "up")
    found = [preview for preview, _ in previews(expanded("pull request"))]
    assert [step["env"]["STACK"] for step in found] == stacks()
    assert all(step["inputs"]["azureSubscription"].endswith("-preview") for step in found)


def test_another_branch_than_main_only_validates() -> None:
    """A run that somebody starts by hand on a branch reaches no stack."""
    assert [stage["stage"] for stage in expanded("another branch")["stages"]] == ["validate"]


def test_main_serves_the_stacks_in_order_each_behind_its_environment() -> None:
    """Stages without dependsOn run one after the other; the environment carries approval and lock."""
    pipeline = expanded("main")
    validate, *served = pipeline["stages"]
    assert validate["stage"] == "validate"
    assert [stage["stage"] for stage in served] == [f"up_{stack}" for stack in stacks()]
    assert not any("dependsOn" in stage or "condition" in stage for stage in pipeline["stages"])
    assert [stage["jobs"][0]["environment"] for stage in served] == [f"imagefactory-{stack}" for stack in stacks()]
    assert pipeline["lockBehavior"] == "sequential"


def test_every_up_serves_what_it_can_and_the_second_does_without_refresh() -> None:
    """No preview that fails before anything is served, all failures borne, parallelism set, refresh first."""
    for stack in stacks():
        found = [command for stage, command in pulumi_commands("main", "up") if stage == f"up_{stack}"]
        assert ["--refresh" in command for command in found] == [True, False]
        for command in found:
            assert {"--yes", "--skip-preview", "--continue-on-error", "--non-interactive"} <= set(command)
            assert int(command[command.index("--parallel") + 1]) >= 32


@pytest.mark.parametrize("occasion", OCCASIONS)
def test_no_secret_is_stored_or_handed_over(occasion: str) -> None:
    """Workload identity only: no variable that holds a secret, no secret of the service connection in a script."""
    pipeline = expanded(occasion)
    assert "addSpnToEnvironment" not in PIPELINE.read_text("utf-8")
    names = {*pipeline["variables"]}
    for _, step in steps(pipeline):
        names |= set(step.get("env", {}))
        assert re.findall(r"\w*(?:secret|password|passphrase|token|sas|key)\w*=\S*", script(step), re.IGNORECASE) in (
            [],
            ['PULUMI_CONFIG_PASSPHRASE=""'],
        )
    # AZURE_TOKEN_CREDENTIALS names a way to sign in, not a token.
    secret = re.compile("secret|password|passphrase|token|sas|key", re.IGNORECASE)
    assert [name for name in names if secret.search(name)] in ([], ["AZURE_TOKEN_CREDENTIALS"])


def test_the_trigger_passes_over_nothing_that_a_stack_reads() -> None:
    """A change of the product, its configuration or its locks always starts a run."""
    product = ["__main__.py", "components", "imagefactory", "providers", "pyproject.toml"]
    data = ["Configuration", "Pulumi.yaml", "Pulumi.dev.yaml", "requirements.txt", "azure-pipelines.yml", "pipelines"]
    read = [*product, *data]
    assert all((ROOT / path).exists() for path in read)
    pipeline = expanded("main")
    assert not set(read) & {*pipeline["trigger"]["paths"]["exclude"], *pipeline["pr"]["paths"]["exclude"]}


def test_each_stack_has_its_file_and_the_labs_file_that_it_names() -> None:
    """What is validated is what the stack distributes by."""
    for stack in expanded("main")["parameters"][0]["default"]:
        settings = yaml.safe_load((ROOT / f"Pulumi.{stack['name']}.yaml").read_text("utf-8"))["config"]
        assert stack["labs"] == settings.get("imagefactory:labs", "labs.json")


def run_step(
    text: str, folder: Path, body: str, program: str = "pulumi", **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a step's script in bash with `body` as that of a stand-in for a program, which notes its arguments."""
    stand_in = folder / program
    stand_in.write_text(f'#!/bin/bash\necho "$@" >>"{folder}/calls"\n{body}\n', "utf-8")
    stand_in.chmod(0o755)
    bash = shutil.which("bash")
    assert bash
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "STACK": "dev", "AGENT_TEMPDIRECTORY": str(folder), **env}
    return subprocess.run(
        [bash, "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(("answers", "calls", "code"), [("0", 1, 0), ("255 0", 2, 0), ("255 3", 2, 3)])
def test_up_runs_again_without_refresh_when_it_failed(answers: str, calls: int, code: int, tmp_path: Path) -> None:
    """One run where it succeeds; else a second, whose exit code is the step's."""
    text = next(script(step) for _, step in steps(expanded("main")) if "pulumi up" in script(step))
    answer = run_step(text, tmp_path, f'codes=({answers}); exit "${{codes[$(wc -l <"{tmp_path}/calls") - 1]}}"')
    made = (tmp_path / "calls").read_text("utf-8").splitlines()
    assert (len(made), answer.returncode) == (calls, code)
    assert ["--refresh" in call for call in made] == [True, False][:calls]


@pytest.mark.parametrize("code", [0, 1])
def test_preview_shows_its_text_on_the_run_s_page_and_keeps_its_exit_code(code: int, tmp_path: Path) -> None:
    """A reviewer reads the preview without opening the log; a failed preview fails the step."""
    preview, show = previews(expanded("pull request"))[0]
    answer = run_step(script(preview), tmp_path, f"echo '+ one image'; echo '```'; exit {code}")
    assert answer.returncode == code and answer.stdout == "+ one image\n```\n"
    report = tmp_path / "preview-dev.md"
    assert report.read_text("utf-8") == "## pulumi preview of dev\n\n    + one image\n    ```\n"
    assert run_step(script(show), tmp_path, "exit 9").stdout == f"##vso[task.uploadsummary]{report}\n"
    assert show["condition"] == "succeededOrFailed()"


def test_no_preview_no_summary(tmp_path: Path) -> None:
    """Where the set-up failed, say."""
    _, show = previews(expanded("pull request"))[0]
    answer = run_step(script(show), tmp_path, "exit 9")
    assert (answer.returncode, answer.stdout) == (0, "")


HOSTILE = f"  + tag: {SET_VARIABLE}\n ::add-mask::x\n  https://a.blob.example/c/b?sv=1&sig=AbC"
SHOWN = "  + tag: # #vso[task.setvariable variable=BASH_ENV]evil\n : :add-mask::x\n  https://a.blob.example/c/b\n"


def shown_steps() -> list[dict[str, Any]]:
    """The steps that show what labs hold."""
    found = [step for occasion in OCCASIONS for _, step in steps(expanded(occasion))]
    found += expanded_factory()["jobs"][0]["steps"]
    return [step for step in found if re.search(r"pulumi (up|preview)|imagefactory (?!validate)", script(step))]


def test_what_a_lab_holds_reaches_no_agent_as_a_command(tmp_path: Path) -> None:
    """Whatever program shows it, on whichever stream, and whatever its exit code is."""
    for number, step in enumerate(shown_steps()):
        folder = tmp_path / str(number)
        folder.mkdir()
        body = f"printf '%s\\n' {shlex.quote(HOSTILE)}; printf '%s\\n' {shlex.quote(HOSTILE)} >&2; exit 3"
        program = "pulumi" if "pulumi" in script(step) else "imagefactory"
        answer = run_step(script(step), folder, body, program, KEEP="2", BUILD_ARTIFACTSTAGINGDIRECTORY=str(folder))
        assert answer.returncode == 3, script(step)
        assert answer.stdout == SHOWN * (4 if "up" in step["displayName"] else 2) and answer.stderr == ""
        assert not agent_commands(answer.stdout)
        assert all(SHOWN.splitlines()[0] in report.read_text("utf-8") for report in folder.glob("*.md"))


def test_every_step_that_others_can_speak_through_is_restricted() -> None:
    """A line that slips through sets no variable and uploads nothing. Two steps are free, which show commands alone."""
    every = [step for occasion in OCCASIONS for _, step in steps(expanded(occasion))]
    every += expanded_factory()["jobs"][0]["steps"]
    targets = {script(step): step.get("target") for step in every if script(step)}
    free = [text for text, target in targets.items() if target is None]
    limits = {"commands": "restricted", "settableVariables": "none"}
    assert len(free) == 2 and not re.search("pulumi [a-z]|imagefactory|cat", "".join(free))
    assert all(target == limits for target in targets.values() if target)


def test_a_stack_whose_storage_is_opened_by_keys_is_not_previewed(tmp_path: Path) -> None:
    """A pull request's code would hold them; the other stacks are previewed, and main serves all of them."""
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
def test_keys_that_the_pipeline_does_not_know_of_stop_the_run(settings: str, code: int, tmp_path: Path) -> None:
    """Before any preview: whoever sets `storageAuth: key` in the stack's file is told to say so in the pipeline."""
    (tmp_path / "Pulumi.dev.yaml").write_text(settings, "utf-8")
    checks = [step for _, step in steps(expanded("pull request")) if "storageAuth" in script(step)]
    answer = run_step(f"cd '{tmp_path}'\n{script(checks[0])}", tmp_path, "exit 9")
    assert answer.returncode == code and answer.stderr.count("\n") == code
    assert len([step for _, step in steps(expanded("pull request", "key")) if "storageAuth" in script(step)]) == 1


def test_the_validate_step_passes_on_the_sample_configuration(tmp_path: Path) -> None:
    """The step as written, run by the real command."""
    step = next(step for _, step in steps(expanded("main")) if "imagefactory validate" in script(step))
    answer = run_step(script(step), tmp_path, "exit 9", **step["env"])
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "Configuration: 2 labs" in answer.stdout
