"""The other Pythons of this machine, and an environment of each in which the unit tests run.

Owns the search for interpreters that README promises to support. Those that are not there are not missed.
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
_NAME = re.compile(r"python3\.\d+")
_ASK = "import json, sys, venv, ensurepip; print(json.dumps([*sys.version_info[:4], sys._base_executable]))"


@dataclass(frozen=True)
class Python:
    """An interpreter: its version as "3.13.0", and its program."""

    version: str
    program: Path

    @property
    def minor(self) -> str:
        """As "3.13"."""
        return self.version.rpartition(".")[0]


def other_pythons() -> list[Python]:
    """One finished release of each minor version from 3.10 on, but the one that runs this; the oldest first.

    An interpreter that cannot be started or cannot make environments does not count.
    """
    found: dict[tuple[int, int], Python] = {}
    for program in _programs():
        asked = subprocess.run([program, "-c", _ASK], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            major, minor, micro, release, itself = json.loads(asked.stdout)
            if release == "final" and (major, minor) >= OLDEST:
                found.setdefault((major, minor), Python(f"{major}.{minor}.{micro}", Path(itself)))
    found.pop(sys.version_info[:2], None)
    return [found[version] for version in sorted(found)]


def ensure_unit_environment(checkout: Checkout, python: Python) -> Path:
    """The interpreter of an environment that holds exactly the development lock. Raises SetupFault.

    It is made once for each lock and interpreter, in `.local`; what an older lock left there goes.
    """
    folder = checkout.local / "pythons" / python.minor
    place = folder / digest(checkout.root / DEVELOPMENT, python.version, str(python.program), str(checkout.root))

    def make(unfinished: Path) -> None:
        with Step(f"Install {DEVELOPMENT} for Python {python.version}") as step:
            run_quietly(step, [python.program, "-m", "venv", unfinished], remedy="Mend or remove that Python")
            install = [*pip_install(unfinished / "bin" / "python"), "--require-hashes", "-r", DEVELOPMENT]
            run_quietly(step, install, cwd=checkout.root, remedy=NETWORK)

    if not place.is_dir() and folder.is_dir():
        for old in folder.iterdir():
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
    return install_once(place, make) / "bin" / "python"


def _programs() -> Iterator[Path]:
    """What is called python3.N on the PATH or among the versions of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *sorted(map(str, pyenv.glob("*/bin")))]
    for folder in folders:
        yield from sorted(each for each in Path(folder or ".").glob("python3.*") if _NAME.fullmatch(each.name))
