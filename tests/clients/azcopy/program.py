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
from pathlib import Path
from urllib.parse import unquote

from toolchain.checkout import Checkout, cache_folder
from toolchain.setup.cache import digest, install_once
from toolchain.setup.node import find_node, install_packages, package_files

SOURCE = Path(__file__).parent
BINARY = Path("node_modules", "@azure-tools", "azcopy-linux", "dist", "bin", "azcopy_linux_amd64")
SECRETS, STAND_IN = "libsecret-1.so.0", "libglib-2.0.so.0"
RUNS_HERE = sys.platform == "linux" and platform.machine() == "x86_64"


class AzCopy:
    """AzCopy with its folder for logs, plans and everything else that it writes."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._program = folder, _installed()
        (folder / "lib").mkdir(parents=True)
        libraries = _libraries(self._program)
        if libraries.get(SECRETS) is None and (path := libraries.get(STAND_IN)):
            (folder / "lib" / SECRETS).symlink_to(path)

    def problem(self) -> str | None:
        """Return why this machine cannot run it, in the words of the machine: such as the missing library."""
        ended = self._run("--version")
        return None if ended.returncode == 0 else ended.stdout.strip()

    def copy(self, way: str, source: str | Path, target: str | Path, *options: str) -> None:
        """Copy one file or blob; `way` is `BlobLocal`, `LocalBlob` or `BlobBlob`.

        Fails unless AzCopy says that the copy is complete, and if it leaves the signature of a SAS."""
        ended = self._run("copy", source, target, "--from-to", way, *options, "--output-level", "essential")
        files = [file for name in ("logs", "plans") for file in (self._folder / name).iterdir()]
        written = ended.stdout + "".join(file.read_text(errors="replace") for file in files)
        assert ended.returncode == 0 and "Final Job Status: Completed\n" in ended.stdout, written
        for signature in re.findall(r"sig=([^&]+)", f"{source}&{target}"):
            assert signature not in written and unquote(signature) not in written

    def _run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {
            "HOME": str(self._folder),
            "LD_LIBRARY_PATH": str(self._folder / "lib"),
            "AZCOPY_LOG_LOCATION": str(self._folder / "logs"),
            "AZCOPY_JOB_PLAN_LOCATION": str(self._folder / "plans"),
            "AZCOPY_DISABLE_SYSLOG": "true",
            "AZCOPY_CONCURRENCY_VALUE": "4",
        }
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
