"""An interpreter for the tests that starts with the installed libraries imported, where that can be had.

Importing them takes most of the time of a short command, and the tests start hundreds. Does not change what a command
runs: the project's own code is loaded by each process.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
    python.write_text(f'#!/bin/sh\nexec {client} "$0" "$@"\n', encoding="utf-8")
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
