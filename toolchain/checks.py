"""The verb `test`: every check of the project, all of them run, all failures named at the end.

Owns the list of checks. With arguments for pytest only pytest runs, on what they select.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from toolchain.checkout import Checkout
from toolchain.cloud import emulator_variables
from toolchain.faults import SetupFault
from toolchain.processes import run_in_foreground
from toolchain.progress import say
from toolchain.setup.pythons import ensure_unit_environment, other_pythons
from toolchain.shell import tool_variables
from toolchain.stack import set_up

CHECKS: dict[str, tuple[str, ...]] = {
    "ruff check": ("ruff", "check", "--no-cache", "."),
    "ruff format": ("ruff", "format", "--check", "."),
    "mypy": ("mypy", "--strict", "."),
    "import layers": ("lint-imports",),
    "labs.json schema": ("imagefactory", "schema", "--check"),
}
PYTEST = "pytest"
UNIT_TESTS = ("-q", "--hypothesis-profile=few", "tests/unit")
"""On the other Pythons, where few examples show what the version changes."""
WORKERS_PER_CORE = 2
"""Test processes for each core: an engine, a copy and an emulated cloud leave a core idle about half of the time."""


def test(checkout: Checkout, arguments: Sequence[str]) -> int:
    """Set up, then run all checks and pytest (or only pytest with `arguments`). 0 if everything passed, else 1.

    The unit tests run on every other Python of this machine too. Where nothing failed, pytest's own lines are the last.
    """
    engine = set_up(checkout, development=True)
    env = {**os.environ, **tool_variables(checkout, engine), **emulator_variables(checkout)}
    results: dict[str, str] = {}

    def run(name: str, *command: str | Path) -> None:
        say(f"== {name}")
        began = time.monotonic()
        code = run_in_foreground(command, cwd=checkout.root, env=env)
        results[name] = f"{'passed' if code == 0 else f'FAILED (exit code {code})'}, {time.monotonic() - began:.0f} s"

    if arguments:
        run(PYTEST, checkout.venv / "bin" / PYTEST, *arguments)
    else:
        for name, (program, *rest) in CHECKS.items():
            run(name, checkout.venv / "bin" / program, *rest)
        for python in other_pythons():
            name = f"unit tests on Python {python.version}"
            try:
                run(name, ensure_unit_environment(checkout, python), "-m", PYTEST, *side_by_side(1), *UNIT_TESTS)
            except SetupFault as fault:
                say(f"dev.py: {fault}")
                results[name] = f"FAILED (no environment of {python.program})"
        _summary(results)
        run(PYTEST, checkout.venv / "bin" / PYTEST, *side_by_side(WORKERS_PER_CORE))
    failed = {name: result for name, result in results.items() if "FAILED" in result}
    if failed:
        _summary(failed)
    return int(bool(failed))


def side_by_side(per_core: int) -> list[str]:
    """The arguments of pytest for so many processes for each core, each of which gets a test whenever it has none."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [f"--numprocesses={cores * per_core}", "--dist=load", "--maxschedchunk=1"]


def _summary(results: dict[str, str]) -> None:
    say("== Summary")
    for name, result in results.items():
        say(f"{name:<32}{result}")
