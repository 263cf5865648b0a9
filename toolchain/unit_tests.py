"""The unit tests on another Python of this machine: `python -m toolchain.unit_tests VERSION PROGRAM`.

Creates the environment of that Python if it does not exist, then runs pytest in it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from toolchain.checkout import Checkout
from toolchain.errors import SetupError
from toolchain.progress import say
from toolchain.setup.pythons import Python, ensure_unit_environment

UNIT_TESTS = ("-q", "--hypothesis-profile=few", "tests/unit")
"""Few examples are enough to find what another version changes."""


def main(checkout: Checkout, python: Python) -> None:
    """Become pytest on `python`. Exit with 1 if its environment cannot be installed."""
    try:
        program = ensure_unit_environment(checkout, python)
    except SetupError as error:
        say(f"dev.py: {error.with_output()}")
        sys.exit(1)
    os.chdir(checkout.root)
    os.execv(program, [str(program), "-m", "pytest", *UNIT_TESTS])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(Checkout.here(), Python(sys.argv[1], Path(sys.argv[2])))
