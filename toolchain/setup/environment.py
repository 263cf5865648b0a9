"""The project's Python environment, `.venv`, from the hashed locks.

Owns its making and its freshness. A stamp inside it names the locks and the interpreter that it was made from; without
a stamp (an interrupted set-up, a folder of another maker) it is made anew.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

from toolchain.checkout import Checkout
from toolchain.faults import SetupFault
from toolchain.processes import run_quietly
from toolchain.progress import Step
from toolchain.setup.cache import digest, exclusive

RUNTIME, DEVELOPMENT = "requirements.txt", "requirements-dev.txt"
PRODUCT = ("imagefactory",)
NETWORK = "Check that pip can reach its package index (PIP_INDEX_URL, proxy), then run the same command again"


def ensure_environment(checkout: Checkout, *, development: bool = False) -> None:
    """Make `.venv` hold exactly what the lock says, and the project itself; at once when it does already.

    Raises SetupFault when the interpreter cannot make environments, or pip fails.
    """
    wanted = _stamp(checkout, RUNTIME) | (_stamp(checkout, DEVELOPMENT) if development else {})
    if _fresh(checkout, wanted):
        return
    with exclusive(checkout.local / "environment.lock"):
        if _fresh(checkout, wanted):
            return
        stamp = stamp_file(checkout)
        held = _read(stamp)
        stamp.unlink(missing_ok=True)
        if held.get("python") != wanted["python"] or not checkout.python.exists():
            _create(checkout)
            held = {}
        lock = DEVELOPMENT if development or DEVELOPMENT in held else RUNTIME
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
                remedy="The project's own pyproject.toml does not build: mend it, then run the same command again",
            )
        held = _stamp(checkout, RUNTIME) | (_stamp(checkout, DEVELOPMENT) if lock == DEVELOPMENT else {})
        stamp.write_text(json.dumps(held), "utf-8")


def pip_install(python: Path) -> list[str | Path]:
    """The beginning of a `pip install` command of the environment of an interpreter."""
    quiet = ("--disable-pip-version-check", "--no-input", "--progress-bar=off")
    # Python compiles what it imports; a hundred thousand lines of azure-native are never imported.
    return [python, "-m", "pip", "install", *quiet, "--no-compile"]


def locked_version(checkout: Checkout, package: str) -> str:
    """The version of `package` in the runtime lock."""
    text = (checkout.root / RUNTIME).read_text("utf-8")
    match = re.search(rf"^{re.escape(package)}==(\S+)", text, re.MULTILINE)
    if match is None:
        raise SetupFault(RUNTIME, f"it does not lock {package}", "Restore it from git")
    return match[1]


def stamp_file(checkout: Checkout) -> Path:
    """Written last: an environment without it is not whole."""
    return checkout.venv / "imagefactory-stamp.json"


def _stamp(checkout: Checkout, lock: str) -> dict[str, str]:
    # An editable installation knows the packages that were there when it was made.
    packages = ",".join(name for name in PRODUCT if (checkout.root / name).is_dir())
    return {
        "python": f"{sys.version} {sys.base_prefix} {checkout.root}",
        lock: digest(checkout.root / lock, checkout.root / "pyproject.toml", packages),
    }


def _read(stamp: Path) -> dict[str, str]:
    try:
        held = json.loads(stamp.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _fresh(checkout: Checkout, wanted: dict[str, str]) -> bool:
    return checkout.python.exists() and wanted.items() <= _read(stamp_file(checkout)).items()


def _create(checkout: Checkout) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise SetupFault(
                f"Python {version}",
                f"its module {module} is not installed, so no environment can be made",
                f"On Debian and Ubuntu: `apt install python{version}-venv`; else use a complete Python",
            )
    with Step("Make the Python environment") as step:
        shutil.rmtree(checkout.venv, ignore_errors=True)
        run_quietly(
            step,
            [sys.executable, "-m", "venv", checkout.venv],
            remedy=f"On Debian and Ubuntu: `apt install python{version}-venv`; else use a complete Python",
        )
