"""The verb `test`: every check of the project, all of them run, all failures named at the end.

Owns the list of checks. With arguments for pytest only pytest runs, on what they select.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from localcloud.toolchain.checkout import Checkout
from localcloud.toolchain.cloud import emulator_variables
from localcloud.toolchain.processes import run_in_foreground
from localcloud.toolchain.progress import say
from localcloud.toolchain.shell import tool_variables
from localcloud.toolchain.stack import set_up

CHECKS: dict[str, tuple[str, ...]] = {
    "ruff check": ("ruff", "check", "--no-cache", "."),
    "ruff format": ("ruff", "format", "--check", "."),
    "mypy": ("mypy", "--strict", "."),
    "import layers": ("lint-imports",),
    "labs.json schema": ("imagefactory", "schema", "--check"),
}
PYTEST = "pytest"


def test(checkout: Checkout, arguments: Sequence[str]) -> int:
    """Set up, then run all checks and pytest (or only pytest with `arguments`). 0 if everything passed, else 1."""
    engine = set_up(checkout, development=True)
    env = {**os.environ, **tool_variables(checkout, engine), **emulator_variables(checkout)}
    checks = {PYTEST: (PYTEST, *arguments)} if arguments else {**CHECKS, PYTEST: (PYTEST,)}
    results: dict[str, str] = {}
    for name, (program, *rest) in checks.items():
        say(f"== {name}")
        began = time.monotonic()
        code = run_in_foreground([checkout.venv / "bin" / program, *rest], cwd=checkout.root, env=env)
        results[name] = f"{'passed' if code == 0 else f'FAILED (exit code {code})'}, {time.monotonic() - began:.0f} s"
    say("== Summary")
    for name, result in results.items():
        say(f"{name:<18}{result}")
    return int(any("FAILED" in result for result in results.values()))
