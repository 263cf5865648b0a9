"""dev.py in a fresh copy of the checkout: its commands, and its messages if they cannot run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.client import CloudClient
from tests.conftest import SHORT_LIFE
from toolchain import main, stack
from toolchain.checkout import Checkout
from toolchain.errors import SetupError
from toolchain.setup.engine import Engine
from toolchain.shell import WITHOUT_CHECKPOINTS

ROOT = Checkout.here().root


def dev(
    folder: Path, *arguments: str, env: dict[str, str] | None = None, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run dev.py as CI does, without terminal and input. Uses the user's cache, so that no test builds an engine."""
    return subprocess.run(
        [python, "dev.py", *arguments],
        cwd=folder,
        env={**os.environ, **SHORT_LIFE, **WITHOUT_CHECKPOINTS, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """A copy of the files of this checkout that git tracks or does not ignore."""
    folder = tmp_path / "image factory"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    yield folder
    if (folder / ".local" / "cloud").is_dir():
        dev(folder, "cloud", "stop")


def test_help_down_and_status_set_nothing_up(fresh: Path) -> None:
    """They work in a copy that was never set up."""
    assert {"up", "down", "test", "contract", "env", "cloud"} <= set(dev(fresh, "--help").stdout.split())
    down = dev(fresh, "down")
    assert down.returncode == 0
    assert "nothing to destroy" in down.stderr and "nothing to stop" in down.stderr
    status = dev(fresh, "cloud", "status")
    assert status.returncode == 1 and "never been started" in status.stderr
    assert not (fresh / ".venv").exists()


@pytest.mark.parametrize(
    ("pretend", "words"),
    [
        ("sys.version_info = (3, 9, 1)", "this is Python 3.9, but the image factory needs 3.10"),
        ("import os; os.name = 'nt'", "On Windows, use WSL"),
    ],
)
def test_on_an_unsupported_machine_the_message_has_reason_and_remedy(fresh: Path, pretend: str, words: str) -> None:
    """On an old Python and on Windows, without a traceback."""
    code = f"import sys; {pretend}; exec(compile(open('dev.py').read(), 'dev.py', 'exec'), {{'__name__': '__main__'}})"
    failed = subprocess.run([sys.executable, "-c", code], cwd=fresh, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert words in failed.stderr and "Traceback" not in failed.stderr


def test_the_continuous_integration_script_runs_dev_py_test(fresh: Path, tmp_path: Path) -> None:
    """In any folder, and returns its exit code."""
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "$PWD|$*"\nexit 5\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["bash", str(fresh / ".ci" / "run")],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (5, f"{fresh}|dev.py test\n")


def test_a_failed_step_is_one_message_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Subject, fact and remedy on one line of stderr, then the failed tool's last lines."""

    def fail(checkout: Checkout) -> int:
        raise SetupError("Pulumi engine", "does not build", "Install it", ["no compiler"])

    monkeypatch.setattr(main, "up", fail)
    assert main.main(["up"]) == 1
    assert capsys.readouterr().err == "dev.py: Pulumi engine: does not build. Install it\n  | no compiler\n"


def test_a_folder_that_cannot_be_written_is_one_message_and_exit_code_1(fresh: Path) -> None:
    """As with missing permissions or a full disk; without a traceback."""
    (fresh / ".local").touch()
    down = dev(fresh, "down")
    assert down.returncode == 1 and down.stderr.count("\n") == 1 and ".local" in down.stderr
    assert down.stderr.endswith("; stopped. Check permissions and free disk space, then run it again\n")


def test_a_missing_seed_file_is_reported_before_the_cloud_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So a wrong path costs no time."""
    monkeypatch.setattr(main, "ensure_environment", lambda checkout: None)
    assert main.main(["cloud", "start", "--seed", str(tmp_path / "none.json")]) == 1
    assert "none.json: not found" in capsys.readouterr().err


def test_the_lock_of_a_killed_engine_is_reported_with_the_command_that_removes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a lock, nothing is printed."""
    checkout = Checkout(tmp_path)
    stack._report_locks(checkout)
    assert capsys.readouterr().err == ""
    lock = checkout.stacks / ".pulumi" / "locks" / "organization" / "imagefactory" / "local" / "id.json"
    lock.parent.mkdir(parents=True)
    lock.write_text("{}")
    stack._report_locks(checkout)
    assert "pulumi cancel --yes" in capsys.readouterr().err


def test_the_last_table_has_a_row_for_each_image_and_for_each_lab_without_images() -> None:
    """It is made from the stack's outputs as the engine prints them, and prints no agent commands."""
    image = {"id": "/x", "imagePath": "Ubuntu/Jammy.json", "state": "Succeeded"}
    hostile = {**image, "state": "##vso[x]"}
    outputs = {"labs": {"web@1": {"Jammy-1": image, "Jammy-2": image, "a[/b]": hostile}, "empty@2": {}}}
    printed = subprocess.run(
        [sys.executable, "-m", "toolchain.lab_table"],
        cwd=ROOT,
        input=json.dumps(outputs),
        capture_output=True,
        text=True,
        check=True,
    )
    words = ("web@1", "empty@2", "(none)", "Jammy-1", "Jammy-2", "Ubuntu/Jammy.json", "Succeeded", "a[/b]", "# #vso[x]")
    assert [word for word in words if word not in printed.stdout] == []


def test_up_adopts_after_the_save_and_before_the_preview_and_continues_if_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a run after a kill recovers by itself; the exit code is that of the update."""
    typed: list[list[str]] = []

    def run(command: list[str | Path], *, env: dict[str, str], **_: object) -> int:
        assert env["PULUMI_SKIP_CHECKPOINTS"] == "true", "the state is written once: adopt makes up for a kill"
        typed.append([Path(command[0]).name, *map(str, command[1:])])
        return int("adopt" in command)

    monkeypatch.setattr(stack, "run_in_foreground", run)
    monkeypatch.setattr(stack, "set_up", lambda checkout: Engine(checkout.root, "3.0.0"))
    monkeypatch.setattr(stack, "start_cloud", lambda checkout: {})
    for name in ("tool_variables", "cloud_variables"):
        monkeypatch.setattr(stack, name, lambda *_: {})
    monkeypatch.setattr(stack, "stack_file", lambda checkout: checkout.root)
    monkeypatch.setattr(stack, "_show_labs", lambda shell: None)
    assert stack.up(Checkout(tmp_path)) == 0
    assert [command[:2] for command in typed] == [
        ["imagefactory", "save"],
        ["imagefactory", "adopt"],
        ["pulumi", "preview"],
        ["pulumi", "up"],
    ]
    assert typed[1][2:] == ["--stack", "local", "--yes"]
    assert "Not all existing images can be taken over into the state (see above)" in capsys.readouterr().err


def processes_of(folder: Path) -> list[str]:
    """Return the command lines that contain the path of the folder."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(folder) in line]


@pytest.mark.engine
@pytest.mark.timeout(900)
def test_up_fills_the_labs_from_nothing_changes_nothing_the_second_time_and_heals_and_down_leaves_no_process(
    fresh: Path,
) -> None:
    """With one command each, in a copy that was never set up. After the state was lost, `up` takes over all images."""
    first = dev(fresh, "up")
    assert first.returncode == 0, first.stdout + first.stderr
    table = first.stdout
    for words in (
        "web-team",
        "data-team",
        "Win11.Developer-gen2-trusted/2025.1103.90000",
        "Win2016_Datacenter-Jul-24-2020",
        "Ubuntu_Jammy-Apr-7-2025",
        "ubuntu-jammy",
    ):
        assert words in table
    shell = dev(fresh, "env", "--shell", "json")
    variables: dict[str, str] = json.loads(shell.stdout)
    outputs = subprocess.run(
        ["pulumi", "stack", "output", "--json", "--stack", "local"],
        cwd=fresh,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    shown = json.loads(outputs.stdout)
    assert sorted(len(images) for images in shown["labs"].values()) == [0, 3, 6], "saved images and earlier ones"
    assert [len(versions) for versions in shown["gallery"].values()] == [1]
    assert {lab["name"] for lab in CloudClient(fresh / ".local" / "cloud").status()["labs"]} == {
        "factory",
        "web-team",
        "data-team",
        "app-team",
    }

    second = dev(fresh, "up")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "unchanged" in second.stdout and second.stdout.count("already saved") == 2
    assert [line for line in second.stdout.splitlines() if "take over" in line] == [
        "Nothing to take over: the state has all images that this stack manages."
    ]
    assert not any(f"{word}" in second.stdout for word in (" created", " updated", " replaced", " deleted"))

    shutil.rmtree(Checkout(fresh).stacks)
    third = dev(fresh, "up")
    assert third.returncode == 0, third.stdout + third.stderr
    assert "Took over 9 images and 3 parts of the gallery." in third.stdout and "VHDs copied" not in third.stdout

    assert processes_of(fresh)
    down = dev(fresh, "down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert processes_of(fresh) == []
    again = dev(fresh, "down")
    assert again.returncode == 0, again.stdout + again.stderr
