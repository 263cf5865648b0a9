"""A headless Chromium for the tests, installed from the npm registry with a lock file, in the user's cache folder.

Also installs the libraries and fonts that the machine may not have. Supports only Linux on x86-64.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from toolchain.checkout import Checkout, cache_folder
from toolchain.processes import run_quietly
from toolchain.progress import Step
from toolchain.setup.cache import digest, install_once
from toolchain.setup.node import find_node, install_packages, package_files

SOURCE = Path(__file__).parent
UNPACK = 'import("@sparticuz/chromium").then((package) => package.default.executablePath())'
"""Unpacks into TMPDIR: the program, one font family, and with the variables of AWS Lambda, its libraries too."""
LAMBDA = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x"}
FONTS = '<fontconfig><dir prefix="relative">.</dir></fontconfig>'
"""The package's own file only names folders of AWS Lambda."""
RUNS_HERE = sys.platform == "linux" and platform.machine() == "x86_64"


def _install() -> Path:
    node = find_node(Checkout.here())

    def make(folder: Path) -> None:
        install_packages(node, SOURCE, folder, "Install Chromium")
        with Step("Unpack Chromium") as step:
            run_quietly(
                step,
                [node.binary, "--eval", UNPACK],
                cwd=folder,
                env={**LAMBDA, "TMPDIR": str(folder)},
                remedy="Check that 300 MB of disk space are free, then run it again",
            )
        (folder / "fonts" / "fonts.conf").write_text(FONTS, encoding="utf-8")
        shutil.rmtree(folder / "node_modules")

    return install_once(cache_folder() / f"chromium-{digest(*package_files(SOURCE), UNPACK, FONTS)}", make)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser, without its sandbox, which root and containers do not support: it only loads our own pages."""
    folder = _install()
    environment: dict[str, str | float | bool] = {
        **os.environ,
        "LD_LIBRARY_PATH": str(folder / "al2023" / "lib"),
        "FONTCONFIG_FILE": str(folder / "fonts" / "fonts.conf"),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=folder / "chromium", env=environment, args=["--disable-gpu"], chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            browser.close()
