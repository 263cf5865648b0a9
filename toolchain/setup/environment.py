"""The project's Python environment, `.venv`, installed from the hashed locks.

A stamp in it names its locks and its interpreter. Without a stamp (after an interrupted setup, or if another program
created the folder) it is recreated.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

from toolchain.checkout import Checkout
from toolchain.errors import SetupError
from toolchain.processes import run_quietly
from toolchain.progress import Step
from toolchain.setup.cache import digest, exclusive

RUNTIME, DEVELOPMENT = "requirements.txt", "requirements-dev.txt"
PRODUCT = ("imagefactory",)
NETWORK = "Check that pip can reach its package index (PIP_INDEX_URL, proxy), then run the same command again"


def ensure_environment(checkout: Checkout, *, development: bool = False) -> None:
    """Install the packages of the lock and the project itself into `.venv`, unless it is up to date.

    Raises SetupError if the interpreter cannot create environments, or pip fails.
    """
    wanted = _stamp(checkout, RUNTIME) | (_stamp(checkout, DEVELOPMENT) if development else {})
    if _fresh(checkout, wanted):
        return
    with exclusive(checkout.local / "environment.lock"):
        if _fresh(checkout, wanted):
            return
        stamp = stamp_file(checkout)
        installed = _read(stamp)
        stamp.unlink(missing_ok=True)
        if installed.get("python") != wanted["python"] or not checkout.python.exists():
            _create(checkout)
            installed = {}
        lock = DEVELOPMENT if development or DEVELOPMENT in installed else RUNTIME
        with Step(f"Install {lock}") as step:
            install = pip_install(checkout.python)
            run_quietly(
                step, [*install, "--require-hashes", "-r", checkout.root / lock], cwd=checkout.root, remedy=NETWORK
            )
            step.note = "the project itself"
            run_quietly(
                step,
                [*install, "--no-deps", "--no-build-isolation", "--editable", "."],
                cwd=checkout.root,
                remedy="Fix the project's pyproject.toml, which does not build, then run the same command again",
            )
        installed = _stamp(checkout, RUNTIME) | (_stamp(checkout, DEVELOPMENT) if lock == DEVELOPMENT else {})
        stamp.write_text(json.dumps(installed), "utf-8")


def pip_install(python: Path) -> list[str | Path]:
    """Return the start of a `pip install` command for the environment of `python`."""
    quiet = ("--disable-pip-version-check", "--no-input", "--progress-bar=off")
    # Python compiles modules when it imports them; most of azure-native's 100,000 lines are never imported.
    return [python, "-m", "pip", "install", *quiet, "--no-compile"]


def locked_version(checkout: Checkout, package: str) -> str:
    """Return the version of `package` in the runtime lock. Raises SetupError."""
    text = (checkout.root / RUNTIME).read_text("utf-8")
    match = re.search(rf"^{re.escape(package)}==(\S+)", text, re.MULTILINE)
    if match is None:
        raise SetupError(RUNTIME, f"does not lock {package}", "Restore it from git")
    return match[1]


def stamp_file(checkout: Checkout) -> Path:
    """Return the file that is written last: an environment without it is incomplete."""
    return checkout.venv / "imagefactory-stamp.json"


def _stamp(checkout: Checkout, lock: str) -> dict[str, str]:
    # An editable installation finds only packages that existed when it was created.
    packages = ",".join(name for name in PRODUCT if (checkout.root / name).is_dir())
    return {
        "python": f"{sys.version} {sys.base_prefix} {checkout.root}",
        lock: digest(checkout.root / lock, checkout.root / "pyproject.toml", packages),
    }


def _read(stamp: Path) -> dict[str, str]:
    try:
        content = json.loads(stamp.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _fresh(checkout: Checkout, wanted: dict[str, str]) -> bool:
    return checkout.python.exists() and wanted.items() <= _read(stamp_file(checkout)).items()


def _create(checkout: Checkout) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    remedy = f"On Debian and Ubuntu, run `apt install python{version}-venv`; elsewhere use a complete Python"
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise SetupError(
                f"Python {version}",
                f"its module {module} is not installed; no environment can be created",
                remedy,
            )
    with Step("Create the Python environment") as step:
        shutil.rmtree(checkout.venv, ignore_errors=True)
        run_quietly(step, [sys.executable, "-m", "venv", checkout.venv], remedy=remedy)
