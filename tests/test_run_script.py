"""pipelines/run.sh, which has the steps of the pipelines of both systems: order, exit codes, files, and safe output."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from tests.agent_commands import SET_VARIABLE, agent_commands
from tests.azure_templates import expanded, script, steps
from tests.command_lines import ROOT
from tests.federation import serving
from tests.test_pipeline import COMMIT, every_step

STEPS = ("plan", "up", "summary", "save", "prune", "catalog", "status", "after-cancel")
FILES = "imagefactory-dev"


def run_text(text: str, folder: Path, body: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script with fake pulumi and imagefactory, which record what was typed and run `body`."""
    for program in ("pulumi", "imagefactory"):
        fake = folder / program
        fake.write_text(f'#!/bin/bash\necho "${{0##*/}} $@" >>"{folder}/calls"\n{body}\n', "utf-8")
        fake.chmod(0o755)
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {"PATH": path, "STACK": "dev", "AGENT_TEMPDIRECTORY": str(folder), "KEEP": "2", "PAGE": str(folder / "page")}
    environment = {**os.environ, "RUNNER_TEMP": "", "ACTIONS_ID_TOKEN_REQUEST_URL": "", **own, **env}
    return subprocess.run(
        ["bash", "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def run(step: str, folder: Path, body: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a step of run.sh."""
    return run_text(f"exec pipelines/run.sh {step}", folder, body, **env)


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text("utf-8").splitlines()


def exits(folder: Path, codes: str) -> str:
    """The body of a fake that exits with these codes, one after the other."""
    return f'codes=({codes}); exit "${{codes[$(wc -l <"{folder}/calls") - 1]}}"'


@pytest.mark.parametrize(
    ("codes", "number", "code"),
    [("0 0", 2, 0), ("0 255 0", 3, 0), ("0 255 3", 3, 3), ("1 0", 2, 1), ("1 255 3", 3, 3)],
)
def test_images_are_adopted_first_and_a_failed_up_runs_again_without_refresh(
    codes: str, number: int, code: int, tmp_path: Path
) -> None:
    """The exit code of the last run is that of the step; a failed `adopt` stops no run, and fails the step. Each `up`
    serves what it can, without a preview, which would stop before the first update."""
    done = run("up", tmp_path, exits(tmp_path, codes))
    adopt, *ups = calls(tmp_path)
    assert (1 + len(ups), done.returncode) == (number, code)
    assert adopt == "imagefactory adopt --stack dev --yes"
    assert ["--refresh" in up for up in ups] == [True, False][: number - 1]
    for number, up in enumerate(ups, 1):
        assert f"--event-log {tmp_path}/{FILES}-up.{number}.jsonl" in up
        assert {"--yes", "--skip-preview", "--continue-on-error", "--non-interactive"} <= set(up.split())
        assert int(up.split("--parallel ")[1].split()[0]) >= 32


@pytest.mark.parametrize(("given", "seen"), [("", "true"), ("false", "false")])
def test_up_has_the_engine_write_its_state_once_unless_the_pipeline_says_otherwise(
    given: str, seen: str, tmp_path: Path
) -> None:
    """In each update, after an adoption; a variable of the pipeline switches the state per step on."""
    run(
        "up", tmp_path, f'echo "$1 $PULUMI_SKIP_CHECKPOINTS" >>"{tmp_path}/seen"; exit 3', PULUMI_SKIP_CHECKPOINTS=given
    )
    assert (tmp_path / "seen").read_text("utf-8").splitlines()[1:] == [f"up {seen}"] * 2
    assert calls(tmp_path)[0].startswith("imagefactory adopt ")


@pytest.mark.parametrize("step", ["plan", "up"])
def test_a_configuration_of_policies_switches_the_policy_pack_on(step: str, tmp_path: Path) -> None:
    """In each preview and update; without it, there is none."""
    config = tmp_path / "policies.json"
    for there in (False, True):
        if there:
            config.write_text("{}", "utf-8")
        run(step, tmp_path, "exit 0", POLICIES=str(config))
        engine = [call for call in calls(tmp_path) if call.startswith("pulumi ")]
        assert [f"--policy-pack policies --policy-pack-config {config}" in call for call in engine][-1] is there


@pytest.mark.parametrize("codes", ["0 0 0", "0 0 1", "0 1 0", "1 0 0"])
def test_plan_adopt_and_preview_run_and_each_failure_fails_the_step(codes: str, tmp_path: Path) -> None:
    """The plan is in one file, what keeps it from being made in another, for the comment; the preview in a third, in
    which nothing is Markdown. Nothing is changed."""
    exit_code = f'"${{codes[$(wc -l <"{tmp_path}/calls") - 1]}}"'
    body = f"""codes=({codes}); echo "+ ${{0##*/}} $1"; echo '```'; echo "problem" >&2; exit {exit_code}"""
    done = run("plan", tmp_path, body)
    assert done.returncode == int("1" in codes), done.stdout
    assert calls(tmp_path) == [
        "imagefactory plan --stack dev --format markdown",
        "imagefactory adopt --stack dev --dry-run",
        "pulumi preview --stack dev --diff --non-interactive --color never",
    ]
    assert (tmp_path / f"{FILES}-plan.md").read_text("utf-8") == "+ imagefactory plan\n```\n"
    failed = "pulumi preview failed: see the run\n" * (codes == "0 0 1")
    assert (tmp_path / f"{FILES}-errors.txt").read_text("utf-8") == f"problem\n{failed}"
    shown = "    + imagefactory adopt\n    ```\n    problem\n    + pulumi preview\n    ```\n    problem\n"
    assert (tmp_path / f"{FILES}-preview.md").read_text("utf-8") == f"## pulumi preview of dev\n\n{shown}"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ("config:\n  imagefactory:storageAuth: key\n", 1),
        ("config: { 'imagefactory:storageAuth': 'key' }\n", 1),
        ("config:\n  # imagefactory:storageAuth: key\n", 0),
        ("config:\n  imagefactory:storageAuth: aad # key\n", 0),
    ],
)
def test_storage_keys_that_the_pipeline_does_not_declare_stop_the_plan(
    settings: str, code: int, tmp_path: Path
) -> None:
    """Before anything is read; the comment says why."""
    (tmp_path / "Pulumi.dev.yaml").write_text(settings, "utf-8")
    (tmp_path / "pipelines").symlink_to(ROOT / "pipelines")
    done = run_text(f"cd '{tmp_path}'\nexec pipelines/run.sh plan", tmp_path, "exit 0")
    assert done.returncode == code, done.stdout + done.stderr
    assert (tmp_path / "calls").exists() is not bool(code)
    assert ("storageAuth to key" in (tmp_path / f"{FILES}-errors.txt").read_text("utf-8")) is bool(code)


@pytest.mark.parametrize("codes", ["0 0", "1 0", "0 1"])
def test_saved_vms_are_deleted_also_if_one_was_not_saved(codes: str, tmp_path: Path) -> None:
    """Which fails the step."""
    assert run("save", tmp_path, exits(tmp_path, codes)).returncode == int("1" in codes)
    assert calls(tmp_path) == ["imagefactory save --stack dev", "imagefactory clean-vms --stack dev"]


def test_prune_catalog_and_status_get_their_number_and_file(tmp_path: Path) -> None:
    """And keep the exit code, such as 3 of a status where a lab is behind."""
    for step in ("prune", "catalog", "status"):
        assert run(step, tmp_path, "exit 3").returncode == 3
    page = tmp_path / "page"
    assert calls(tmp_path) == [
        "imagefactory prune --stack dev --keep 2 --yes",
        f"imagefactory catalog --stack dev --html {page}",
        f"imagefactory status --stack dev --html {page}",
    ]


def test_the_summary_is_made_of_the_logs_of_both_runs(tmp_path: Path) -> None:
    """As text, Markdown and JSON, which is published, also after a failed or canceled run; without a log, as after a
    failed setup, there is none."""
    found = [step for stage, step in steps(expanded(COMMIT)) if stage == "up_dev"][-3:]
    assert [step["condition"] for step in found] == ["always()"] * 3
    assert found[-1]["publish"] == f"$(Agent.TempDirectory)/{FILES}-summary.json"
    assert run("summary", tmp_path, "exit 9").returncode == 0 and not (tmp_path / "calls").exists()
    logs = [tmp_path / f"{FILES}-up.{number}.jsonl" for number in (1, 2)]
    for log in logs:
        log.touch()
    done = run("summary", tmp_path, 'echo "of $@"; exit 1')
    assert done.returncode == 1 and done.stdout == f"of summary {logs[0]} {logs[1]}\n"
    told = run("summary", tmp_path, 'echo "of $@"', IMAGEFACTORY_NOTIFY_URL="https://hooks.example/x")
    assert told.stdout == f"of summary {logs[0]} {logs[1]} --notify\n"
    for form, suffix in (("json", "json"), ("markdown", "md")):
        assert f"--format {form}\n" in (tmp_path / f"{FILES}-summary.{suffix}").read_text("utf-8")


def test_reports_are_shown_on_the_page_of_the_run_where_they_exist(tmp_path: Path) -> None:
    """Plan and preview of a pull request, and the summary of an update; none, for example, after a failed setup."""
    every = [step for occasion in ("pull request", "main") for _, step in steps(expanded(COMMIT, occasion))]
    shows = {script(step): step["condition"] for step in every if "task.uploadsummary" in script(step)}
    assert list(shows.values()) == ["succeededOrFailed()", "always()"]
    for show, names in zip(shows, (("plan", "preview"), ("summary",)), strict=True):
        assert run_text(show, tmp_path, "exit 9").stdout == ""
        reports = [tmp_path / f"{FILES}-{name}.md" for name in names]
        for report in reports:
            report.write_text("text", "utf-8")
        assert run_text(show, tmp_path, "exit 9").stdout.splitlines() == [
            f"##vso[task.uploadsummary]{report}" for report in reports
        ]


HOSTILE = f"  + tag: {SET_VARIABLE}\n ::add-mask::x\n  https://a.blob.example/c/b?sv=1&sig=AbC"
SHOWN = "  + tag: # #vso[task.setvariable variable=BASH_ENV]evil\n : :add-mask::x\n  https://a.blob.example/c/b\n"


@pytest.mark.parametrize("step", STEPS)
def test_no_text_from_a_lab_is_a_command_to_the_agent(step: str, tmp_path: Path) -> None:
    """From any program, on either stream, with any exit code; also in the file that shows pulumi's."""
    (tmp_path / f"{FILES}-up.1.jsonl").touch()
    body = f"printf '%s\\n' {shlex.quote(HOSTILE)}; printf '%s\\n' {shlex.quote(HOSTILE)} >&2; exit 3"
    done = run(step, tmp_path, body)
    assert done.returncode == 3 and done.stderr == ""
    assert SHOWN in done.stdout and not agent_commands(done.stdout) and "AbC" not in done.stdout
    for report in tmp_path.glob("*-preview.md"):
        text = report.read_text("utf-8")
        assert not agent_commands(text) and "AbC" not in text and "add-mask" in text, report


def test_every_script_of_the_pipelines_is_a_step_of_it() -> None:
    """Besides the ones that validate, set up and show."""
    texts = {script(step) for step in every_step()}
    used = {text.split()[-1] for text in texts if text.startswith("exec pipelines/run.sh ")}
    assert used == {*STEPS, "comment", "wait"}


def test_an_unknown_step_is_an_error(tmp_path: Path) -> None:
    """With the list of those that exist."""
    done = run("upp", tmp_path, "exit 9")
    assert done.returncode == 2 and done.stderr.startswith("usage: ")


def test_the_validate_step_passes_on_the_sample_configuration() -> None:
    """With the real command."""
    step = next(step for _, step in steps(expanded(COMMIT)) if "imagefactory validate" in script(step))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **step["env"], "PATH": path}
    done = subprocess.run(
        ["bash", "-c", script(step)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Configuration: 3 labs" in done.stdout


@pytest.mark.parametrize("organization", ["", "acme"])
async def test_the_state_is_opened_with_the_identity_token_of_a_github_job(organization: str, tmp_path: Path) -> None:
    """By Azure Blob Storage with a file that stays current, by Pulumi Cloud once; the file is gone afterwards."""
    audiences = []

    async def respond(request: web.BaseRequest) -> web.Response:
        audiences.append(request.query["audience"])
        return web.json_response({"value": "identity-token"})

    file = tmp_path / f"{FILES}.token"
    async with serving(respond) as url:
        job = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}?v=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job"}
        body = f'[ "$(cat "{file}")" = identity-token ] || exit 9; echo "file ${{AZURE_FEDERATED_TOKEN_FILE:-none}}"'
        more = {"PULUMI_ORGANIZATION": organization, "RUNNER_TEMP": str(tmp_path), **job}
        done = await asyncio.to_thread(run, "prune", tmp_path, body, **more)
    assert done.returncode == 0, done.stdout
    login = f"pulumi login --oidc-token file://{file} --oidc-org acme --oidc-expiration 12h"
    assert calls(tmp_path) == [*[login] * bool(organization), "imagefactory prune --stack dev --keep 2 --yes"]
    assert done.stdout.endswith("file none\n" if organization else f"file {file}\n")
    assert set(audiences) == {"urn:pulumi:org:acme" if organization else "api://AzureADTokenExchange"}
    assert "identity-token" not in done.stdout and not file.exists()


def test_without_an_identity_token_nothing_runs_on_github(tmp_path: Path) -> None:
    """The error names the permission of the job."""
    url = "http://127.0.0.1:9"
    done = run("prune", tmp_path, "exit 0", ACTIONS_ID_TOKEN_REQUEST_URL=url, RUNNER_TEMP=str(tmp_path))
    assert done.returncode == 1 and "the OpenID Connect endpoint returned no token" in done.stdout
    assert not (tmp_path / "calls").exists() and not list(tmp_path.glob("*.token"))
