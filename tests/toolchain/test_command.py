"""dev.py as a newcomer meets it: a fresh copy of the checkout, one command, and what is said when it cannot be done."""

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
from toolchain import checks, main, stack
from toolchain.checkout import Checkout
from toolchain.faults import SetupFault
from toolchain.setup.engine import Engine
from toolchain.setup.pythons import Python

ROOT = Checkout.here().root


def dev(
    folder: Path, *arguments: str, env: dict[str, str] | None = None, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run dev.py as CI does: no terminal, no input. The cache is the user's, so that no test builds an engine twice."""
    return subprocess.run(
        [python, "dev.py", *arguments],
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """The files of this working copy that git knows or would add, and nothing else."""
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


def test_a_fresh_copy_explains_itself_and_has_nothing_to_end(fresh: Path) -> None:
    """`--help`, `down` and `status` of a copy that was never set up answer, and set nothing up."""
    assert {"up", "down", "test", "env", "cloud"} <= set(dev(fresh, "--help").stdout.split())
    ended = dev(fresh, "down")
    assert ended.returncode == 0
    assert "nothing to destroy" in ended.stderr and "nothing to stop" in ended.stderr
    status = dev(fresh, "cloud", "status")
    assert status.returncode == 1 and "never been started" in status.stderr
    assert not (fresh / ".venv").exists(), "nothing was set up for that"


@pytest.mark.parametrize(
    ("pretend", "words"),
    [
        ("sys.version_info = (3, 9, 1)", "this is Python 3.9, and the image factory needs 3.10"),
        ("import os; os.name = 'nt'", "use WSL"),
    ],
)
def test_a_machine_that_cannot_run_it_is_told_why_and_what_to_do(fresh: Path, pretend: str, words: str) -> None:
    """An old Python and Windows: one message with the remedy, no traceback."""
    code = f"import sys; {pretend}; exec(compile(open('dev.py').read(), 'dev.py', 'exec'), {{'__name__': '__main__'}})"
    answer = subprocess.run([sys.executable, "-c", code], cwd=fresh, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert words in answer.stderr and "Traceback" not in answer.stderr


def test_the_continuous_integration_script_runs_exactly_the_test_verb(fresh: Path, tmp_path: Path) -> None:
    """From any folder, and with its exit code."""
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "$PWD|$*"\nexit 5\n')
    python.chmod(0o755)
    answer = subprocess.run(
        ["bash", str(fresh / ".ci" / "run")],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (5, f"{fresh}|dev.py test\n")


def test_the_test_verb_runs_every_check_and_names_all_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A failed check stops no other; with arguments only pytest runs, in one process."""
    checkout = Checkout(tmp_path)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in {program for program, *_ in checks.CHECKS.values()} | {checks.PYTEST}:
        failing = name in ("mypy", "pytest")
        (programs / name).write_text(f'#!/bin/sh\necho "ran {name} $*"\nexit {2 if failing else 0}\n')
        (programs / name).chmod(0o755)
    monkeypatch.setattr(checks, "set_up", lambda checkout, development: Engine(tmp_path, "test"))
    monkeypatch.setattr(checks, "emulator_variables", lambda checkout: {})
    monkeypatch.setattr(checks, "other_pythons", lambda: [])
    assert checks.test(checkout, []) == 1
    out, err = capfd.readouterr()
    for program, *arguments in [*checks.CHECKS.values(), (checks.PYTEST, "--numprocesses=")]:
        assert f"ran {' '.join([program, *arguments])}" in " ".join(out.split())
    _, before, last = err.split("== Summary")
    assert before.count("passed") == len(checks.CHECKS) - 1 and "mypy" in before
    assert last.count("FAILED (exit code 2)") == 2 and "passed" not in last
    assert checks.test(checkout, ["-k", "a name"]) == 1
    assert capfd.readouterr().out == "ran pytest -k a name\n"


def test_the_unit_tests_run_on_every_python_and_the_last_lines_are_those_of_the_whole_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each Python is named, one without an environment is a failure, and nothing follows a suite that passed."""
    for name in (*{program for program, *_ in checks.CHECKS.values()}, checks.PYTEST, "python3.12"):
        program = tmp_path / ".venv" / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "ran {name} $*" >&2\n')
        program.chmod(0o755)

    def made(checkout: Checkout, python: Python) -> Path:
        if python.version == "3.13.0":
            raise SetupFault("Install", "it is not to be had", "Try again")
        return python.program

    pythons = [Python("3.12.1", tmp_path / ".venv" / "bin" / "python3.12")]
    monkeypatch.setattr(checks, "set_up", lambda checkout, development: Engine(tmp_path, "test"))
    monkeypatch.setattr(checks, "emulator_variables", lambda checkout: {})
    monkeypatch.setattr(checks, "other_pythons", lambda: pythons)
    monkeypatch.setattr(checks, "ensure_unit_environment", made)
    assert checks.test(Checkout(tmp_path), []) == 0
    *_, summary, suite, last = capfd.readouterr().err.splitlines()
    assert "unit tests on Python 3.12.1" in summary and "passed" in summary
    assert suite == "== pytest" and last.startswith("ran pytest --numprocesses=")
    pythons.append(Python("3.13.0", tmp_path / "python3.13"))
    assert checks.test(Checkout(tmp_path), []) == 1
    told = capfd.readouterr().err
    assert "ran python3.12 -m pytest --numprocesses=" in told and "tests/unit" in told
    assert "unit tests on Python 3.13.0" in told.splitlines()[-1] and "FAILED" in told.splitlines()[-1]


def test_arguments_of_the_test_verb_are_pytests_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options, too, reach pytest as they stand."""
    seen: list[list[str]] = []

    def record(checkout: Checkout, arguments: list[str]) -> int:
        seen.append(arguments)
        return 0

    monkeypatch.setattr(main, "test", record)
    assert main.main(["test", "-k", "one and two", "-x", "tests/unit", "--lf"]) == 0
    assert seen == [["-k", "one and two", "-x", "tests/unit", "--lf"]]


def test_a_step_that_cannot_be_had_is_one_message_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Subject, fact and remedy on one line of stderr."""

    def refuse(checkout: Checkout) -> int:
        raise SetupFault("Pulumi engine", "it is not to be had", "Install it")

    monkeypatch.setattr(main, "up", refuse)
    assert main.main(["up"]) == 1
    assert capsys.readouterr().err == "dev.py: Pulumi engine: it is not to be had. Install it\n"


def test_a_folder_that_cannot_be_written_is_one_message_and_exit_code_1(fresh: Path) -> None:
    """Rights, a full disk, a file in the way: no traceback."""
    (fresh / ".local").touch()
    answer = dev(fresh, "down")
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1 and ".local" in answer.stderr and "run it again" in answer.stderr


def test_a_seed_file_that_is_not_there_is_named_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong path costs no wait for a cloud."""
    monkeypatch.setattr(main, "ensure_environment", lambda checkout: None)
    assert main.main(["cloud", "start", "--seed", str(tmp_path / "none.json")]) == 1
    assert "none.json: there is no such file" in capsys.readouterr().err


def test_a_lock_that_a_killed_engine_left_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a lock nothing is said; with one, the command that takes it away."""
    checkout = Checkout(tmp_path)
    stack._tell_of_locks(checkout)
    assert capsys.readouterr().err == ""
    lock = checkout.stacks / ".pulumi" / "locks" / "organization" / "imagefactory" / "local" / "id.json"
    lock.parent.mkdir(parents=True)
    lock.write_text("{}")
    stack._tell_of_locks(checkout)
    assert "pulumi cancel --yes" in capsys.readouterr().err


def test_the_closing_table_has_a_row_for_each_image_and_one_for_a_lab_without_any() -> None:
    """From the stack's outputs as the engine prints them."""
    image = {"id": "/x", "imagePath": "Ubuntu/Jammy.json", "state": "Succeeded"}
    strange = {**image, "state": "##vso[x]"}
    outputs = {"labs": {"web@1": {"Jammy-1": image, "Jammy-2": image, "a[/b]": strange}, "empty@2": {}}}
    answer = subprocess.run(
        [sys.executable, "-m", "toolchain.lab_table"],
        cwd=ROOT,
        input=json.dumps(outputs),
        capture_output=True,
        text=True,
        check=True,
    )
    words = ("web@1", "empty@2", "(none)", "Jammy-1", "Jammy-2", "Ubuntu/Jammy.json", "Succeeded", "a[/b]", "# #vso[x]")
    assert [word for word in words if word not in answer.stdout] == []


def processes_of(folder: Path) -> list[str]:
    """Command lines that name the folder."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(folder) in line]


@pytest.mark.engine
@pytest.mark.timeout(900)
def test_up_from_nothing_fills_the_labs_a_second_up_changes_nothing_and_down_leaves_no_process(fresh: Path) -> None:
    """The newcomer's way: one command each, on a copy that has never been set up."""
    first = dev(fresh, "up")
    assert first.returncode == 0, first.stdout + first.stderr
    table = first.stdout
    for words in ("web-team", "data-team", "Win2016_Datacenter-Jul-24-2020", "Ubuntu_Jammy-Apr-7-2025", "ubuntu-jammy"):
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
    labs = json.loads(outputs.stdout)["labs"]
    assert sorted(len(images) for images in labs.values()) == [3, 6], "what was saved, and what had been before"
    assert {lab["name"] for lab in CloudClient(fresh / ".local" / "cloud").status()["labs"]} == {
        "factory",
        "web-team",
        "data-team",
    }

    second = dev(fresh, "up")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "unchanged" in second.stdout and second.stdout.count("already saved") == 2
    assert not any(f"{word}" in second.stdout for word in (" created", " updated", " replaced", " deleted"))

    assert processes_of(fresh)
    ended = dev(fresh, "down")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert processes_of(fresh) == []
    again = dev(fresh, "down")
    assert again.returncode == 0, again.stdout + again.stderr
