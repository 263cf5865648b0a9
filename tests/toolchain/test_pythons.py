"""The other Pythons of a machine: which are found, and the environment of each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.toolchain.tools import tool
from toolchain.checkout import Checkout
from toolchain.setup.pythons import Python, ensure_unit_environment, other_pythons


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Python; the fixture is the only folder on its PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return folder


def pretend(folder: Path, minor: int, micro: int = 1, release: str = "final", code: int = 0) -> Path:
    """Create a program that prints the version of such an interpreter."""
    name = f"python3.{minor}"
    return tool(folder, name, f'echo \'[3, {minor}, {micro}, "{release}", "{folder / name}"]\'\nexit {code}')


def test_each_minor_version_from_3_10_on_is_found_once(bare_machine: Path, tmp_path: Path) -> None:
    """On the PATH or in the versions of pyenv; broken, older and prerelease ones are skipped."""
    pretend(bare_machine, 9)
    pretend(bare_machine, sys.version_info.minor)
    broken = pretend(bare_machine, 21, code=127)
    unfinished = pretend(bare_machine, 22, release="candidate")
    first = pretend(bare_machine, 23)
    pyenv = tmp_path / "pyenv" / "versions"
    pretend(pyenv / "3.23.9" / "bin", 23, 9)
    repaired = pretend(pyenv / "3.21.2" / "bin", 21, 2)
    assert broken.exists() and unfinished.exists()
    assert other_pythons() == [Python("3.21.2", repaired), Python("3.23.1", first)]


def test_a_machine_with_one_python_has_no_other(bare_machine: Path) -> None:
    """The running one is skipped."""
    (bare_machine / f"python3.{sys.version_info.minor}").symlink_to(sys.executable)
    assert other_pythons() == []


def test_an_environment_is_created_once_per_lock(tmp_path: Path) -> None:
    """With the lock's hashes; that of an older lock is deleted."""
    checkout, lock, calls = Checkout(tmp_path), tmp_path / "requirements-dev.txt", tmp_path / "calls"
    script = f'echo "$*" >> {calls}\n[ "$2" != venv ] || install -D "$0" "$3/bin/python"'
    program = tool(tmp_path, "python3.99", script)
    lock.write_text("# nothing")
    first = ensure_unit_environment(checkout, Python("3.99.1", program))
    assert ensure_unit_environment(checkout, Python("3.99.1", program)) == first
    made, installed = calls.read_text().splitlines()
    assert made.startswith("-m venv ") and installed.startswith("-m pip install ")
    assert installed.endswith("--require-hashes -r requirements-dev.txt")
    lock.write_text("# nothing else")
    second = ensure_unit_environment(checkout, Python("3.99.1", program))
    assert second.exists() and second != first and not first.parents[1].exists()
