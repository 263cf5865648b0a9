"""Tools from wheels on PyPI (Go, Node.js): installs them into the user's cache, by a hashed lock.

Does not decide whether they are needed: `engine` and `node` do.
"""

from __future__ import annotations

from pathlib import Path

from toolchain.checkout import Checkout, cache_folder
from toolchain.processes import run_quietly
from toolchain.progress import Step
from toolchain.setup.cache import digest, install_once
from toolchain.setup.environment import NETWORK, pip_install


def install_wheel(checkout: Checkout, name: str, title: str) -> Path:
    """Return the folder of the unpacked wheel that `<name>.txt` locks. Needs the environment's pip."""
    lock = Path(__file__).with_name(f"{name}.txt")

    def make(folder: Path) -> None:
        with Step(title) as step:
            run_quietly(
                step,
                [*pip_install(checkout.python), "--require-hashes", "--no-deps", "--target", folder, "-r", lock],
                remedy=NETWORK,
            )

    return install_once(cache_folder() / f"{name}-{digest(lock)}", make)
