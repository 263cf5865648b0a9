"""The variables of `dev.py env`, and how dev.py runs programs: output, signals, exit codes, progress."""

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
from toolchain.errors import SetupError
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


def test_in_a_posix_shell_the_variables_have_their_exact_values(tmp_path: Path) -> None:
    """With spaces, quotes and dollar signs, as in JSON."""
    root = tmp_path / "a b'c"
    root.mkdir()
    variables = tool_variables(Checkout(root), Engine(tmp_path / "bin", "test"), "/usr/bin:/bin")
    variables |= cloud_variables(STATUS)
    show = f"exec {shlex.quote(sys.executable)} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    script = f"{render(variables, 'posix')}\n{show}"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert variables.items() <= json.loads(done.stdout).items()
    assert json.loads(render(variables, "json")) == variables
    assert variables["IMAGEFACTORY_BLOB_ENDPOINT"] == "http://127.0.0.1:4001/{account}"


def test_for_powershell_values_are_in_single_quotes_with_quotes_doubled() -> None:
    """So PowerShell expands nothing."""
    assert render({"A": "it's $x"}, "powershell") == "$env:A = 'it''s $x'"


def test_the_path_starts_with_the_environment_and_the_engine_and_has_them_once(tmp_path: Path) -> None:
    """Even if the PATH already contains them."""
    checkout, engine = Checkout(tmp_path), Engine(tmp_path / "engine", "test")
    once = tool_variables(checkout, engine, "/usr/bin:/bin")["PATH"]
    assert once == f"{tmp_path}/.venv/bin:{tmp_path}/engine:/usr/bin:/bin"
    assert tool_variables(checkout, engine, once)["PATH"] == once


def test_what_a_command_imports_is_compiled_once_even_where_the_machine_forbids_it(tmp_path: Path) -> None:
    """As images of containers do; setup compiles nothing."""
    variables = tool_variables(Checkout(tmp_path), Engine(tmp_path, "test"), "/usr/bin:/bin")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"],
        env={"PYTHONDONTWRITEBYTECODE": "1", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


# Processes and progress


def test_the_error_of_a_failed_tool_has_its_exit_code_its_last_lines_and_a_remedy() -> None:
    """The lines follow the message."""
    with pytest.raises(SetupError, match=r"Try: sh failed with exit code 3. Fix it") as caught, Step("Try") as step:
        run_quietly(step, ["/bin/sh", "-c", "for i in $(seq 100); do echo line $i; done; exit 3"], remedy="Fix it")
    _, *lines = caught.value.with_output().splitlines()
    assert lines[-1] == "  | line 100" and len(lines) == processes.TAIL_LINES


def test_a_missing_tool_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    """Not an OSError."""
    with pytest.raises(SetupError, match="cannot be started"), Step("Try") as step:
        run_quietly(step, [tmp_path / "none"], remedy="Get it")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_foreground_program_receives_a_signal_once_and_its_exit_code_is_returned(
    number: signal.Signals, tmp_path: Path
) -> None:
    """A second one would stop the engine during its cleanup."""
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


def test_the_exit_code_of_a_program_that_a_signal_killed_is_that_of_a_shell() -> None:
    """128 plus the number of the signal."""
    assert run_in_foreground(["/bin/sh", "-c", "kill -9 $$"], cwd=Path("/"), env=os.environ) == 128 + 9


def test_a_quick_step_prints_nothing_and_a_long_one_its_progress(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its current action and its duration, and a line at the end."""
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
