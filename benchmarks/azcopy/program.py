"""AzCopy, installed on demand from the npm registry with a lock file, in the user's cache folder.

It is a program for Linux on x86-64 that needs two libraries of the machine. It asks libsecret for stored log-ins only,
and here it gets a SAS: on a machine without libsecret, the other library stands in its place. Logs and plans are in a
folder of the caller.

A SAS is part of the URL, and AzCopy takes URLs only as arguments, which other users of the machine can read: so only a
SAS of the embedded cloud may be passed. (Its sign-in by token, which needs none, requires TLS.)
"""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

from toolchain.checkout import Checkout, cache_folder
from toolchain.setup.cache import digest, install_once
from toolchain.setup.node import find_node, install_packages, package_files

SOURCE = Path(__file__).parent
BINARY = Path("node_modules", "@azure-tools", "azcopy-linux", "dist", "bin", "azcopy_linux_amd64")
SECRETS, STAND_IN = "libsecret-1.so.0", "libglib-2.0.so.0"
RUNS_HERE = sys.platform == "linux" and platform.machine() == "x86_64"


class AzCopyError(Exception):
    """AzCopy did not copy everything, or left the signature of a SAS; the message has what it wrote."""


class AzCopy:
    """AzCopy with its folder for logs, plans and everything else that it writes."""

    def __init__(self, folder: Path, *, connections: int | None = None) -> None:
        """`connections` is how many requests it sends at a time; None: its default."""
        self._folder, self._connections, self._program = folder, connections, _installed()
        (folder / "lib").mkdir(parents=True)
        libraries = _libraries(self._program)
        if libraries.get(SECRETS) is None and (path := libraries.get(STAND_IN)):
            (folder / "lib" / SECRETS).symlink_to(path)

    def problem(self) -> str | None:
        """Return why this machine cannot run it, in the words of the machine: such as the missing library."""
        try:
            ended = self._run("--version")
        except OSError as error:
            return str(error)
        return None if ended.returncode == 0 else ended.stdout.strip()

    def copy(self, way: str, source: str | Path, target: str | Path, *options: str) -> float:
        """Copy files or blobs; `way` is `BlobLocal`, `LocalBlob` or `BlobBlob`. Return the CPU seconds that it used.

        Raises AzCopyError unless AzCopy says that the copy is complete, and if it leaves the signature of a SAS."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = self._run("copy", source, target, "--from-to", way, *options, "--output-level", "essential")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        files = [file for name in ("logs", "plans") for file in (self._folder / name).iterdir()]
        written = ended.stdout + "".join(file.read_text(errors="replace") for file in files)
        if ended.returncode or "Final Job Status: Completed\n" not in ended.stdout:
            raise AzCopyError(f"AzCopy: did not copy everything.\n{written[-3000:]}")
        for signature in re.findall(r"sig=([^&]+)", f"{source}&{target}"):
            if signature in written or unquote(signature) in written:
                raise AzCopyError("AzCopy: left the signature of a SAS in its output, logs or plans.")
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def _run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {
            "HOME": str(self._folder),
            "LD_LIBRARY_PATH": str(self._folder / "lib"),
            "AZCOPY_LOG_LOCATION": str(self._folder / "logs"),
            "AZCOPY_JOB_PLAN_LOCATION": str(self._folder / "plans"),
            "AZCOPY_DISABLE_SYSLOG": "true",
        }
        if self._connections:
            environment["AZCOPY_CONCURRENCY_VALUE"] = str(self._connections)
        return subprocess.run(
            [self._program, *arguments],
            env=environment,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def _installed() -> Path:
    def make(folder: Path) -> None:
        install_packages(find_node(Checkout.here()), SOURCE, folder, "Install AzCopy")
        (folder / BINARY).chmod(0o755)

    return install_once(cache_folder() / f"azcopy-{digest(*package_files(SOURCE))}", make) / BINARY


def _libraries(program: Path) -> dict[str, str | None]:
    """Return where the loader finds each library of the program; nothing without GNU's loader."""
    if shutil.which("ldd") is None:
        return {}
    environment = {**os.environ, "LC_ALL": "C"}
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False, env=environment).stdout
    return {name: None if path == "not" else path for name, path in re.findall(r"(\S+) => (\S+)", listed)}
