"""`dev.py test`: which checks run, in parallel, and what it prints and returns."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.toolchain.tools import exits, tool
from toolchain import checks, main, unit_tests
from toolchain.checkout import Checkout
from toolchain.errors import SetupError
from toolchain.parallel import Finished, run_in_parallel
from toolchain.progress import Step
from toolchain.setup.engine import Engine
from toolchain.setup.pythons import Python
from toolchain.shell import COMPILED_ONCE

PROGRAMS = {program for program, *_ in (*checks.FIRST_CHECKS.values(), *checks.LAST_CHECKS.values())}


def program(folder: Path, name: str, code: int = 0) -> Path:
    """Create a program that prints how it was called and exits with `code`."""
    return tool(folder, name, f'echo "ran {name} $*"\nexit {code}')


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A checkout that is set up, with programs that succeed, on a machine with one Python."""
    for name in {*PROGRAMS, checks.PYTEST}:
        program(tmp_path / ".venv" / "bin", name)
    monkeypatch.setattr(checks, "set_up", lambda checkout, development: Engine(tmp_path, "test"))
    monkeypatch.setattr(checks, "emulator_variables", lambda checkout: {})
    monkeypatch.setattr(checks, "other_pythons", list)
    return Checkout(tmp_path)


def test_all_checks_run_although_one_fails_and_the_failures_are_the_last_lines(
    checkout: Checkout, capfd: pytest.CaptureFixture[str]
) -> None:
    """The exit code is that of the first failure; the suite runs all the same."""
    for name, code in (("mypy", 2), ("pytest", 5)):
        program(checkout.venv / "bin", name, code)
    assert checks.test(checkout, []) == 2
    out, err = capfd.readouterr()
    expected = [*checks.FIRST_CHECKS.values(), *checks.LAST_CHECKS.values()]
    assert sorted(out.split("\n")[:-2]) == sorted(f"ran {name} {' '.join(rest)}" for name, *rest in expected)
    assert out.splitlines()[-1].startswith("ran pytest --numprocesses=")
    checked, before, last = err.split("== Summary")
    assert checked.count("passed") == before.count("passed") == len(expected) - 1
    assert [line.split()[0] for line in last.strip().splitlines()] == ["mypy", "pytest"]
    assert "FAILED (exit code 2)" in last and "FAILED (exit code 5)" in last


def test_nothing_follows_the_output_of_a_suite_that_passed(
    checkout: Checkout, capfd: pytest.CaptureFixture[str]
) -> None:
    """The suite runs last, and its header names the Python."""
    assert checks.test(checkout, []) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[-1].startswith("ran pytest ")
    assert err.splitlines()[-1] == f"== pytest on Python {platform.python_version()}"


@pytest.mark.parametrize(("failed", "alone", "code"), [(1, 0, 0), (3, 0, 0), (2, 1, 1), (4, 0, 1)])
def test_a_few_tests_that_pass_alone_are_reported_as_unstable_and_more_are_a_failure(
    checkout: Checkout, capfd: pytest.CaptureFixture[str], failed: int, alone: int, code: int
) -> None:
    """They run again one after the other; if one fails again, so does the suite."""
    tests = [f"tests/test_a.py::test_{n}" for n in range(failed)]
    cache = checkout.root / checks.LAST_FAILED
    cache.parent.mkdir(parents=True)
    cache.write_text(json.dumps(dict.fromkeys(tests, True)), "utf-8")
    script = f'echo "ran pytest $*"\ncase "$1" in --*) exit {checks.TESTS_FAILED};; *) exit {alone};; esac'
    tool(checkout.venv / "bin", "pytest", script)
    assert checks.test(checkout, []) == code
    out, err = capfd.readouterr()
    again = f"ran pytest {' '.join(tests)}" in out.splitlines()
    assert again == (failed <= checks.MOST_UNSTABLE)
    assert all((test in err) == (code == 0) for test in tests)


def test_with_arguments_only_pytest_runs_and_its_exit_code_is_returned(
    checkout: Checkout, capfd: pytest.CaptureFixture[str]
) -> None:
    """In one process, without any line of dev.py."""
    program(checkout.venv / "bin", "pytest", 5)
    assert checks.test(checkout, ["-k", "a name"]) == 5
    assert capfd.readouterr() == ("ran pytest -k a name\n", "")


@pytest.mark.parametrize("arguments", [[], ["tests/unit"]])
def test_modules_are_compiled_once_for_all_processes_of_a_run(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Also where the environment has Python keep no bytecode: for Python, an empty variable is not set."""
    (variable,) = COMPILED_ONCE
    monkeypatch.setenv(variable, "1")
    for name in (*PROGRAMS, checks.PYTEST):
        tool(checkout.venv / "bin", name, f'echo "{name}: ${{{variable}:-unset}}"')
    assert checks.test(checkout, arguments) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines and all(line.endswith(": unset") for line in lines)


@pytest.mark.parametrize("separator", [[], ["--"]])
def test_arguments_after_test_are_those_of_pytest(separator: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Options too, with or without `--` in front."""
    received: list[Sequence[str]] = []

    def record(checkout: Checkout, arguments: Sequence[str]) -> int:
        received.append(arguments)
        return 0

    monkeypatch.setattr(main, "test", record)
    assert main.main(["test", *separator, "-k", "one and two", "--durations=20", "tests/unit", "--lf"]) == 0
    assert received == [["-k", "one and two", "--durations=20", "tests/unit", "--lf"]]


def test_the_unit_tests_run_on_every_other_python(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a process for each, whose result names the version."""
    pythons = [Python("3.98.1", tmp_path / "python3.98"), Python("3.99.0", tmp_path / "python3.99")]
    monkeypatch.setattr(checks, "other_pythons", lambda: pythons)
    monkeypatch.setattr("toolchain.checks.sys.executable", str(program(tmp_path, "python3")))
    assert checks.test(checkout, []) == 0
    out, err = capfd.readouterr()
    for python in pythons:
        assert f"ran python3 -m toolchain.unit_tests {python.version} {python.program}\n" in out
        assert f"== unit tests on Python {python.version}: passed, " in err


def test_unit_tests_become_pytest_in_the_environment_of_their_python(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few examples, in the checkout."""
    started: list[list[str]] = []
    monkeypatch.chdir("/")
    monkeypatch.setattr(unit_tests, "ensure_unit_environment", lambda checkout, python: python.program)
    monkeypatch.setattr("toolchain.unit_tests.os.execv", lambda program, command: started.append(command))
    unit_tests.main(checkout, Python("3.99.0", Path("/python3.99")))
    assert started == [["/python3.99", "-m", "pytest", "-q", "--hypothesis-profile=few", "tests/unit"]]
    assert Path.cwd() == checkout.root


def test_unit_tests_fail_if_the_environment_cannot_be_installed(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the message and the last lines of pip."""

    def fail(checkout: Checkout, python: Python) -> Path:
        raise SetupError("Install", "pip failed", "Try again", ["no route"])

    monkeypatch.setattr(unit_tests, "ensure_unit_environment", fail)
    with pytest.raises(SystemExit, match="1"):
        unit_tests.main(checkout, Python("3.99.0", Path("/python3.99")))
    assert capsys.readouterr().err == "dev.py: Install: pip failed. Try again\n  | no route\n"


# In parallel


def run(folder: Path, processes: int, **scripts: str) -> dict[str, Finished]:
    """Run shell scripts in `folder`, `processes` at a time."""
    found: dict[str, Finished] = {}
    commands = {name: ["/bin/sh", "-c", script] for name, script in scripts.items()}

    def record(finished: Finished) -> None:
        found[finished.name] = finished

    run_in_parallel(Step("Run"), commands, record, processes=processes, cwd=folder, env=os.environ)
    return found


def test_commands_run_at_the_same_time(tmp_path: Path) -> None:
    """Each of these two waits for a file of the other."""
    wait = "until [ -e {0} ]; do sleep 0.05; done"
    found = run(tmp_path, 2, one=f"touch 1; {wait.format(2)}", two=f"touch 2; {wait.format(1)}")
    assert {name: each.code for name, each in found.items()} == {"one": 0, "two": 0}


def test_no_more_commands_run_at_the_same_time_than_allowed(tmp_path: Path) -> None:
    """Each of these four fails if another one is running."""
    scripts = {f"n{number}": "mkdir busy && sleep 0.05 && rmdir busy" for number in range(4)}
    assert {each.code for each in run(tmp_path, 1, **scripts).values()} == {0}


def test_the_output_of_a_command_is_in_one_piece_with_its_exit_code(tmp_path: Path) -> None:
    """Both streams in their order; a signal is 128 and its number, as in a shell."""
    found = run(tmp_path, 2, one="echo a; echo b >&2; echo c; exit 3", two="kill -9 $$")
    assert (found["one"].output, found["one"].code) == ("a\nb\nc\n", 3)
    assert found["two"].code == 128 + 9


def test_a_command_that_cannot_be_started_is_a_failure_and_stops_no_other(tmp_path: Path) -> None:
    """The message names the program."""
    found: list[Finished] = []
    commands: dict[str, Sequence[str | Path]] = {"none": [tmp_path / "none"], "other": ["/bin/sh", "-c", "exit 0"]}
    run_in_parallel(Step("Run"), commands, found.append, processes=1, cwd=tmp_path, env=os.environ)
    none, other = found
    assert none.code and f"{tmp_path / 'none'}: cannot be started" in none.output
    assert other.code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_commands_and_what_they_have_started(number: signal.Signals, tmp_path: Path) -> None:
    """One ignores the request to exit, another waits for a process that it started."""
    code = (
        f"import os, sys\nsys.path.insert(0, {str(Checkout.here().root)!r})\nfrom pathlib import Path\n"
        "from toolchain import parallel, progress\nparallel.GRACE_SECONDS = 0.2\n"
        "scripts = {'ignores': 'trap \"\" TERM; echo $$ > a; mv a ignores; while :; do sleep 0.1; done',\n"
        "  'waits': 'sleep 600 & echo $! > b; mv b waits; wait', 'later': 'touch later'}\n"
        "commands = {name: ['/bin/sh', '-c', script] for name, script in scripts.items()}\n"
        f"step, folder = progress.Step('Run'), Path({str(tmp_path)!r})\n"
        "try:\n    parallel.run_in_parallel(step, commands, print, processes=2, cwd=folder, env=os.environ)\n"
        "except KeyboardInterrupt:\n    sys.exit(42)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL) as process:
        while not all((tmp_path / name).exists() for name in ("ignores", "waits")):
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(30) == 42
    assert all(exits(int((tmp_path / name).read_text())) for name in ("ignores", "waits"))
    assert not (tmp_path / "later").exists()
