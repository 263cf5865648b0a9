"""An interpreter for the tests that starts with the installed libraries imported, where that can be had; and an engine.

Importing them takes most of the time of a short command, and the tests start hundreds. Does not change what a command
runs: the project's own code is that of the checkout from which the command would load it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from localcloud.azure_native.install import install
from toolchain.checkout import Checkout
from toolchain.setup.engine import HOST
from toolchain.setup.environment import locked_version

COLD = Path(sys.executable)
"""The usual interpreter."""
_HERE = Path(__file__).parent


@contextmanager
def warm_python(folder: Path) -> Iterator[Path]:
    """The interpreter of a Python environment, made in an empty folder; on systems without pidfd the usual one."""
    if sys.platform != "linux":
        yield COLD
        return
    path = folder / "service"
    service = subprocess.Popen(
        [sys.executable, str(_HERE / "service.py"), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert service.stdin is not None and service.stdout is not None
    assert service.stdout.readline() == b"ready\n"
    client = shlex.join([sys.executable, "-I", "-S", str(_HERE / "client.py"), str(path)])
    python = folder / "bin" / "python"
    python.parent.mkdir()
    bare = f'[ "$1$2" = -I-S ] && exec {shlex.quote(sys.executable)} "$@"'  # imports nothing that takes long
    python.write_text(f'#!/bin/sh\n{bare}\nexec {client} "$0" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    venv = Path(sys.prefix)
    for entry in (*venv.iterdir(), *(venv / "bin").iterdir()):
        with suppress(FileExistsError):
            (folder / entry.relative_to(venv)).symlink_to(entry)
    yield python
    service.stdin.close()
    service.stdout.close()
    service.wait()


def use_environment(link: Path, python: Path) -> None:
    """Make `link` lead to the Python environment of the tests, with `python` as its interpreter."""
    venv = Path(sys.prefix)
    folder = venv if python == COLD else python.parents[1]
    if link.exists() and link.readlink() == folder:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(folder)


def warm_engine(environment: Mapping[str, str], python: Path) -> Mapping[str, str]:
    """The environment with an engine that starts language host and azure-native by `python`, if that is a warm one.

    Each command of the engine starts both. An engine that was not built here keeps its own language host.
    """
    if python == COLD:
        return environment
    checkout, folder = Checkout.here(), python.parents[1] / "engine"
    if not folder.exists():
        place = Path(tempfile.mkdtemp(dir=folder.parent))
        install(place, python, locked_version(checkout, "pulumi-azure-native"))
        (place / "logs").touch()  # no folder: so the engine keeps no log of each command, and is silent about it
        engine, host = checkout.bin / "pulumi", checkout.bin / HOST
        if shutil.which("pulumi", path=environment["PATH"]) == str(engine):
            _link(engine, place / engine.name)
            script = host.read_text("utf-8").replace(str(checkout.python), str(python))
            (place / HOST).write_text(script, "utf-8")
            (place / HOST).chmod(0o755)
        with suppress(OSError):  # another thread's is there
            place.rename(folder)
    path = os.pathsep.join((str(folder), environment["PATH"]))
    return {**environment, "PATH": path, "PULUMI_HOME": str(folder)}


def _link(engine: Path, place: Path) -> None:
    """A hard link or a copy: the engine follows symbolic links before it looks for hosts beside itself."""
    try:
        os.link(engine, place)
    except OSError:
        shutil.copy2(engine, place)
