"""What dev.py hands to a shell, and how it runs programs: variables, last words, signals, exit codes, progress."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolchain import processes
from toolchain.checkout import Checkout
from toolchain.faults import SetupFault
from toolchain.processes import run_in_foreground, run_quietly
from toolchain.progress import Step
from toolchain.setup.engine import Engine
from toolchain.shell import cloud_variables, render, tool_variables

ROOT = Checkout.here().root

# Shells

STATUS = {
    "resourceManager": "http://127.0.0.1:4000",
    "blobEndpoint": "http://127.0.0.1:4001",
    "identityEndpoint": "http://127.0.0.1:4000/identity/token",
    "identityHeader": "it's $HOME `here`",
}


def test_a_posix_shell_that_evaluates_the_variables_has_their_exact_values(tmp_path: Path) -> None:
    """Spaces, quotes and dollars included; JSON tells the same."""
    root = tmp_path / "a b'c"
    root.mkdir()
    variables = tool_variables(Checkout(root), Engine(tmp_path / "bin", "test"), "/usr/bin:/bin")
    variables |= cloud_variables(STATUS)
    show = f"exec {shlex.quote(sys.executable)} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    script = f"{render(variables, 'posix')}\n{show}"
    answer = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert variables.items() <= json.loads(answer.stdout).items()
    assert json.loads(render(variables, "json")) == variables
    assert variables["IMAGEFACTORY_BLOB_ENDPOINT"] == "http://127.0.0.1:4001/{account}"


def test_powershell_gets_single_quoted_values_with_quotes_doubled() -> None:
    """In which nothing is expanded."""
    assert render({"A": "it's $x"}, "powershell") == "$env:A = 'it''s $x'"


def test_the_environment_and_the_engine_come_first_on_the_path_and_only_once(tmp_path: Path) -> None:
    """Also when the PATH has them already."""
    checkout, engine = Checkout(tmp_path), Engine(tmp_path / "engine", "test")
    once = tool_variables(checkout, engine, "/usr/bin:/bin")["PATH"]
    assert once == f"{tmp_path}/.venv/bin:{tmp_path}/engine:/usr/bin:/bin"
    assert tool_variables(checkout, engine, once)["PATH"] == once


# Processes and progress


def test_a_failed_tool_is_told_with_its_last_lines_and_a_remedy() -> None:
    """Its exit code in the message, so many lines of its output as the cause."""
    with pytest.raises(SetupFault, match=r"Try: sh ended with exit code 3. Mend it") as caught, Step("Try") as step:
        run_quietly(step, ["/bin/sh", "-c", "for i in $(seq 100); do echo line $i; done; exit 3"], remedy="Mend it")
    assert str(caught.value.__cause__).splitlines()[-1] == "  | line 100"
    assert len(str(caught.value.__cause__).splitlines()) == processes.TAIL_LINES


def test_a_tool_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A message, not an OSError."""
    with pytest.raises(SetupFault, match="could not be started"), Step("Try") as step:
        run_quietly(step, [tmp_path / "none"], remedy="Get it")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_foreground_program_once_and_its_exit_code_comes_back(
    number: signal.Signals, tmp_path: Path
) -> None:
    """A second one would stop the engine in the middle of its clean-up."""
    program = (
        "import signal, sys\n"
        f"signals = {{{int(number)}}}\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signals)\n"
        "print('ready', flush=True)\n"
        "signal.sigwait(signals)\n"
        "sys.exit(42 if signal.sigtimedwait(signals, 0.2) else 41)\n"
    )
    code = (
        f"import os, sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path\n"
        "from toolchain.processes import run_in_foreground\n"
        f"sys.exit(run_in_foreground([sys.executable, '-c', {program!r}], cwd=Path('/'), env=os.environ))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None and run.stdout.readline() == "ready\n"
        run.send_signal(number)
        assert run.wait(30) == 41


def test_a_program_ended_by_a_signal_has_the_shells_exit_code() -> None:
    """128 and the number of the signal."""
    assert run_in_foreground(["/bin/sh", "-c", "kill -9 $$"], cwd=Path("/"), env=os.environ) == 128 + 9


def test_a_quick_step_prints_nothing_and_a_long_one_says_what_it_does(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does and since when; and its end."""
    with Step("Quick"):
        pass
    assert capfd.readouterr().err == ""
    monkeypatch.setattr("toolchain.progress.QUIET_SECONDS", 0.01)
    monkeypatch.setattr("toolchain.progress.LINE_SECONDS", 0.01)
    seen = ""
    with Step("Long") as step:
        step.note = "part two"
        while "part two" not in seen:
            time.sleep(0.01)
            seen += capfd.readouterr().err
    assert re.search(r"^Long \.\.\. 0 s  part two$", seen, re.MULTILINE)
    assert capfd.readouterr().err.endswith("Long: done (0 s)\n")
