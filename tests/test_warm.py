"""The interpreter that starts with its libraries imported behaves as the usual one does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.warm.python import COLD
from toolchain.checkout import Checkout

REPORT = """\
import os, sys
print(os.getcwd(), sys.argv, sys.path[0], os.environ.get("COLOR"), sys.stdin.read(), __name__)
print("to stderr", file=sys.stderr)
sys.exit({code})
"""


@pytest.fixture(params=["warm", "cold"])
def interpreter(request: pytest.FixtureRequest, python: Path) -> Path:
    """Both of them: what is asserted is what the usual one does."""
    return python if request.param == "warm" else COLD


@pytest.mark.parametrize("code", ["0", "3", "None", "'a reason'"])
@pytest.mark.parametrize("way", ["-c", "-m", "script", "folder"])
def test_streams_arguments_environment_and_exit_code_are_the_commands(
    interpreter: Path, tmp_path: Path, way: str, code: str
) -> None:
    """Whichever way it is started: as code, module, script or folder with `__main__.py`."""
    (tmp_path / "place").mkdir()
    for file in (tmp_path / "reporting.py", tmp_path / "place" / "__main__.py"):
        file.write_text(REPORT.format(code=code), encoding="utf-8")
    what, first = {
        "-c": (["-c", REPORT.format(code=code)], ""),
        "-m": (["-m", "reporting"], str(tmp_path)),
        "script": (["-u", str(tmp_path / "reporting.py")], str(tmp_path)),
        "folder": ([str(tmp_path / "place")], str(tmp_path / "place")),
    }[way]
    run = subprocess.run(
        [interpreter, *what, "an argument"],
        cwd=tmp_path,
        env={"PATH": os.defpath, "COLOR": "blue"},
        input="asked",
        capture_output=True,
        text=True,
        check=False,
    )
    name = {"-c": "-c", "-m": str(tmp_path / "reporting.py"), "script": what[-1], "folder": what[-1]}[way]
    assert run.stdout == f"{tmp_path} {[name, 'an argument']} {first} blue asked __main__\n", run.stderr
    assert run.stderr == "to stderr\n" + ("a reason\n" if "reason" in code else "")
    assert run.returncode == {"None": 0, "'a reason'": 1}.get(code, 3 if code == "3" else 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_the_command(interpreter: Path, number: signal.Signals) -> None:
    """The exit code names the signal, and the command has closed its streams."""
    code = "import time; print('begun', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [interpreter, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    assert process.stdout.read() == "" and process.wait(timeout=30) == -number
    process.stdout.close()


def test_threads_and_what_is_to_do_at_exit_end_before_the_command_does(interpreter: Path) -> None:
    """Nothing that was written is lost, also without a line's end; the exit code is that of the command."""
    code = "import atexit, sys, threading, time; atexit.register(print, 'at exit', end='', flush=False)"
    code += "; threading.Thread(target=lambda: (time.sleep(0.2), print('thread', end=' '))).start(); sys.exit(259)"
    run = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr, run.returncode) == ("thread at exit", "", 3)


@pytest.mark.parametrize("said", [b"", b"\0\0\0\5some"])
def test_a_command_that_is_killed_before_it_is_known_hinders_no_other(python: Path, said: bytes) -> None:
    """One process starts all commands of a session."""
    for service in python.parents[1].glob("service"):
        with socket.socket(socket.AF_UNIX) as killed:
            killed.connect(str(service))
            killed.sendall(said)
    assert subprocess.run([python, "-c", "print('runs')"], capture_output=True, check=True).stdout == b"runs\n"


def test_two_commands_run_side_by_side_and_each_ends_by_itself(interpreter: Path) -> None:
    """The second one ends before the first does, with its own exit code."""
    waits = "import sys; print('begun', flush=True); sys.stdin.read(); sys.exit(3)"
    with subprocess.Popen([interpreter, "-c", waits], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdin is not None and first.stdout is not None
        assert first.stdout.readline() == b"begun\n"
        assert subprocess.run([interpreter, "-c", "raise SystemExit(4)"], check=False).returncode == 4
        first.stdin.close()
        assert first.wait(timeout=30) == 3


def test_an_isolated_command_does_not_see_its_folder(interpreter: Path, tmp_path: Path) -> None:
    """With -I, neither the folder nor PYTHONPATH is where modules are looked for: so azure-native is started."""
    code = "import os, sys; print({'', os.getcwd()} & set(sys.path), sys.argv)"
    environment = {"PATH": os.defpath, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [interpreter, "-I", "-c", code, "an argument"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "set() ['-c', 'an argument']\n"


def test_a_command_ends_with_the_process_that_started_it(python: Path) -> None:
    """Plugins look whether their engine runs; in the warm interpreter they are no children of it."""
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('asked to end')))"
    code += "; print('begun', flush=True); time.sleep(60)"
    starter = subprocess.Popen(
        ["sh", "-c", '"$0" -c "$1" & read line', python, code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdin is not None and starter.stdout is not None
    assert starter.stdout.readline() == "begun\n"
    starter.stdin.close()
    assert starter.stdout.read() == "asked to end\n"
    starter.stdout.close()
    starter.wait()


def test_the_projects_own_code_is_not_imported_in_advance(python: Path) -> None:
    """A command runs what the checkout contains when it starts."""
    code = "import sys; print([name for name in sys.modules if name.startswith(('imagefactory', 'components'))])"
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize("way", ["as it is", "elsewhere", "changed"])
def test_a_command_runs_the_code_of_its_folder_as_it_is_now(interpreter: Path, tmp_path: Path, way: str) -> None:
    """The folder links to the checkout, or is a copy of it, or a copy with one changed file."""
    root, package = Checkout.here().root, tmp_path / "imagefactory"
    if way == "as it is":
        package.symlink_to(root / "imagefactory")
    else:
        shutil.copytree(root / "imagefactory", package)
    if way == "changed":
        with (package / "errors.py").open("a", encoding="utf-8") as file:
            file.write("NEW = True\n")
    code = "import imagefactory.errors as errors, imagefactory.diagnostics, os; assert imagefactory.errors is errors; "
    code += "print(os.path.realpath(errors.__file__), 'NEW' in vars(errors))"
    run = subprocess.run([interpreter, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    folder = root if way == "as it is" else tmp_path
    assert run.stdout == f"{folder / 'imagefactory' / 'errors.py'} {way == 'changed'}\n"
