"""The command `test`: all checks of the project, then the test suite.

Defines the list of checks. With arguments for pytest, runs only pytest, on the tests that they select.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolchain.checkout import Checkout
from toolchain.cloud import emulator_variables
from toolchain.parallel import Finished, run_in_parallel
from toolchain.processes import run_in_foreground
from toolchain.progress import Step, above_live_line, say
from toolchain.setup.pythons import other_pythons
from toolchain.shell import tool_variables
from toolchain.stack import set_up

FIRST_CHECKS: dict[str, tuple[str, ...]] = {
    "ruff check": ("ruff", "check", "--no-cache", "."),
    "ruff format": ("ruff", "format", "--check", "."),
    "mypy": ("mypy", "--strict", "."),
}
LAST_CHECKS: dict[str, tuple[str, ...]] = {
    "import layers": ("lint-imports",),
    "labs.json schema": ("imagefactory", "schema", "--check"),
    "documents": ("sphinx-build", "--fail-on-warning", "--keep-going", "--quiet", "docs", ".local/site"),
}
"""Short ones: they run on the cores that the unit tests no longer need."""
PYTEST = "pytest"
LAST_FAILED = ".pytest_cache/v/cache/lastfailed"
"""Where pytest writes which tests failed: a JSON object by node id."""
TESTS_FAILED = 1
"""The exit code of pytest if it ran all tests."""
MOST_UNSTABLE = 3
"""More tests that fail are no accident."""
WORKERS_PER_CORE = 2
"""Test processes per core: an engine, a copy and an emulated cloud leave a core idle about half of the time."""
COLORS = {"CLICOLOR_FORCE": "1", "MYPY_FORCE_COLOR": "1", "PY_COLORS": "1"}
"""For checks whose output is collected before it is printed to a terminal."""


def test(checkout: Checkout, arguments: Sequence[str]) -> int:
    """Set up, then run all checks and the test suite, or only pytest if there are `arguments` for it.

    Run one check per core at a time, among them the unit tests on each other Python of this machine; then the suite.
    If nothing failed, the summary of the suite is the last line. Return 0, or the exit code of the first failure. A few
    tests that fail beside others and pass alone are reported as unstable, and are no failure.
    """
    engine = set_up(checkout, development=True)
    env = {**os.environ, **tool_variables(checkout, engine), **emulator_variables(checkout)}
    programs = checkout.venv / "bin"
    if arguments:
        return run_in_foreground([programs / PYTEST, *arguments], cwd=checkout.root, env=env)
    commands: dict[str, list[str | Path]] = {
        name: [programs / program, *rest] for name, (program, *rest) in FIRST_CHECKS.items()
    }
    for python in other_pythons():
        # The same process installs the environment, so that other checks do not wait for the package index.
        unit_tests = (sys.executable, "-m", "toolchain.unit_tests", python.version, python.program)
        commands[f"unit tests on Python {python.version}"] = list(unit_tests)
    commands |= {name: [programs / program, *rest] for name, (program, *rest) in LAST_CHECKS.items()}
    results: list[Finished] = []
    with Step(f"Run {len(commands)} checks") as step:

        def show(finished: Finished) -> None:
            with above_live_line():
                say(f"== {finished.name}: {finished.result}")
                print(finished.output, end="", flush=True)
            results.append(finished)

        colors = COLORS if sys.stdout.isatty() else {}
        run_in_parallel(step, commands, show, processes=cores(), cwd=checkout.root, env={**env, **colors})
    _summary(results)
    name = f"{PYTEST} on Python {platform.python_version()}"
    say(f"== {name}")
    workers = [f"--numprocesses={cores() * WORKERS_PER_CORE}", "--dist=load", "--maxschedchunk=1"]
    code = run_in_foreground([programs / PYTEST, *workers], cwd=checkout.root, env=env)
    if code == TESTS_FAILED and (unstable := _unstable(checkout, env)):
        code = 0
        say(f"== Unstable, to be fixed: failed beside other tests, passed alone: {', '.join(unstable)}")
    failed = [each for each in (*results, Finished(name, code)) if each.code]
    if failed:
        _summary(failed)
    return failed[0].code if failed else 0


def _unstable(checkout: Checkout, env: Mapping[str, str]) -> list[str]:
    """Run the tests that failed once more, one after the other; return them if there are few and all pass.

    Their failures have been printed. A race between processes is reported and does not stop everybody's work."""
    failed: list[str] = list(json.loads((checkout.root / LAST_FAILED).read_text("utf-8")))
    if len(failed) > MOST_UNSTABLE:
        return []
    say(f"== {PYTEST}: the {len(failed)} that failed, alone")
    code = run_in_foreground([checkout.venv / "bin" / PYTEST, *failed], cwd=checkout.root, env=env)
    return [] if code else failed


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _summary(results: Sequence[Finished]) -> None:
    say("== Summary")
    for each in results:
        say(f"{each.name:<32}{each.result}")
