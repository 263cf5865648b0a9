"""The other Pythons of this machine that the project supports, each with an environment for the unit tests.

Does not install an interpreter.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolchain.checkout import Checkout
from toolchain.processes import run_quietly
from toolchain.progress import Step
from toolchain.setup.cache import digest, install_once
from toolchain.setup.environment import DEVELOPMENT, NETWORK, pip_install

OLDEST = (3, 10)
_FILE_NAME = re.compile(r"python3\.\d+")
_VERSION_SCRIPT = "import json, sys, venv, ensurepip; print(json.dumps([*sys.version_info[:4], sys._base_executable]))"


@dataclass(frozen=True)
class Python:
    """An interpreter: its version, such as "3.13.0", and its program."""

    version: str
    program: Path

    @property
    def minor(self) -> str:
        """The minor version, such as "3.13"."""
        return self.version.rpartition(".")[0]


def other_pythons() -> list[Python]:
    """Return one final release of each minor version from 3.10 on, except the running one; oldest first.

    Skips an interpreter that cannot be started or cannot create environments.
    """
    found: dict[tuple[int, int], Python] = {}
    for program in _programs():
        shown = subprocess.run([program, "-c", _VERSION_SCRIPT], capture_output=True, text=True, check=False)
        if shown.returncode == 0:
            major, minor, micro, release, itself = json.loads(shown.stdout)
            if release == "final" and (major, minor) >= OLDEST:
                found.setdefault((major, minor), Python(f"{major}.{minor}.{micro}", Path(itself)))
    found.pop(sys.version_info[:2], None)
    return [found[version] for version in sorted(found)]


def ensure_unit_environment(checkout: Checkout, python: Python) -> Path:
    """Return the interpreter of an environment with the packages of the development lock. Raises SetupError.

    The environment is created once per lock and interpreter, in `.local`, and replaces that of an older lock.
    """
    folder = checkout.local / "pythons" / python.minor
    place = folder / digest(checkout.root / DEVELOPMENT, python.version, str(python.program), str(checkout.root))

    def make(unfinished: Path) -> None:
        with Step(f"Install {DEVELOPMENT} for Python {python.version}") as step:
            run_quietly(step, [python.program, "-m", "venv", unfinished], remedy="Repair or remove this Python")
            install = [*pip_install(unfinished / "bin" / "python"), "--require-hashes", "-r", DEVELOPMENT]
            run_quietly(step, install, cwd=checkout.root, remedy=NETWORK)

    if not place.is_dir() and folder.is_dir():
        for old in folder.iterdir():
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
    return install_once(place, make) / "bin" / "python"


def _programs() -> Iterator[Path]:
    """Yield the files named python3.N on the PATH and in the versions of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *sorted(map(str, pyenv.glob("*/bin")))]
    for folder in folders:
        yield from sorted(each for each in Path(folder or ".").glob("python3.*") if _FILE_NAME.fullmatch(each.name))
