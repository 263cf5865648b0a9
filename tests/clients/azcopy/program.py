"""AzCopy for the tests, installed from the npm registry with a lock file, in the user's cache folder.

It is a program for Linux on x86-64 that needs two libraries of the machine. It asks libsecret for stored log-ins only,
and these tests give it a SAS: on a machine without libsecret, the other library stands in its place. Logs and plans are
in a folder of the test.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from toolchain.checkout import Checkout, cache_folder
from toolchain.setup.cache import digest, install_once
from toolchain.setup.node import find_node, install_packages, package_files

SOURCE = Path(__file__).parent
BINARY = Path("node_modules", "@azure-tools", "azcopy-linux", "dist", "bin", "azcopy_linux_amd64")
SECRETS, STAND_IN = "libsecret-1.so.0", "libglib-2.0.so.0"


def missing() -> str | None:
    """Return what this machine lacks to run AzCopy; None if it can run it."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "AzCopy cannot run here: its package is for Linux on x86-64 only"
    if shutil.which("ldd") is None:
        return "AzCopy cannot run here: the GNU C library is missing"
    absent = [name for name, path in _libraries().items() if path is None and name != SECRETS]
    return f"AzCopy cannot run here: {', '.join(absent)} is missing" if absent else None


@dataclass(frozen=True)
class AzCopy:
    """AzCopy with its folder for logs, plans and everything else that it writes."""

    folder: Path

    def copy(self, way: str, source: str | Path, target: str | Path, *options: str) -> None:
        """Copy one file or blob; `way` is `BlobLocal`, `LocalBlob` or `BlobBlob`.

        Fails unless AzCopy says that the copy is complete, and if it leaves the signature of a SAS."""
        (self.folder / "lib").mkdir(parents=True, exist_ok=True)
        libraries = _libraries()
        if libraries[SECRETS] is None and not (link := self.folder / "lib" / SECRETS).exists():
            link.symlink_to(str(libraries[STAND_IN]))
        ended = subprocess.run(
            [_installed(), "copy", source, target, "--from-to", way, *options, "--output-level", "essential"],
            env={
                "HOME": str(self.folder),
                "LD_LIBRARY_PATH": str(self.folder / "lib"),
                "AZCOPY_LOG_LOCATION": str(self.folder / "logs"),
                "AZCOPY_JOB_PLAN_LOCATION": str(self.folder / "plans"),
                "AZCOPY_DISABLE_SYSLOG": "true",
                "AZCOPY_CONCURRENCY_VALUE": "4",
                "NO_PROXY": "127.0.0.1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        files = [file for name in ("logs", "plans") for file in (self.folder / name).iterdir()]
        written = ended.stdout + "".join(file.read_text(errors="replace") for file in files)
        assert ended.returncode == 0 and "Final Job Status: Completed\n" in ended.stdout, written
        for signature in re.findall(r"sig=([^&]+)", f"{source}&{target}"):
            assert signature not in written and unquote(signature) not in written


def _installed() -> Path:
    def make(folder: Path) -> None:
        install_packages(find_node(Checkout.here()), SOURCE, folder, "Install AzCopy")
        (folder / BINARY).chmod(0o755)

    return install_once(cache_folder() / f"azcopy-{digest(*package_files(SOURCE))}", make) / BINARY


def _libraries() -> dict[str, str | None]:
    """Return where the loader finds each library of AzCopy."""
    listed = subprocess.run(
        ["ldd", _installed()], stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "LC_ALL": "C"}
    ).stdout
    return {name: None if path == "not" else path for name, path in re.findall(r"(\S+) => (\S+)", listed)}
