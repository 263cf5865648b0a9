"""Tests that draw: how many draws and steps each takes, and the command that repeats one that failed.

`@pytest.mark.randomized(seeds=(...), steps=N)` gives a test its arguments `seed` and `steps`. `--draws`, `--seed` and
`--steps` replace what the mark says; the test's time limit grows with its steps. A test with an argument `checkpoints`
lets the engine write the state at each step with odd seeds only, or as `--checkpoints` says.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterable
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the randomized tests; without them each test takes what its mark says."""
    group = parser.getgroup("randomized", "tests that draw from a seed")
    group.addoption("--draws", type=int, metavar="N", help="run each randomized test with N seeds, from --seed on")
    group.addoption("--seed", type=int, metavar="N", help="the first seed of the randomized tests (default: 0)")
    group.addoption("--steps", type=int, metavar="N", help="the steps that each randomized test takes with a seed")
    about = "whether the engine writes the state at each step (default: with odd seeds)"
    group.addoption("--checkpoints", choices=("yes", "no"), help=about)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each seed."""
    mark = metafunc.definition.get_closest_marker("randomized")
    if mark is not None:
        steps, chosen = metafunc.config.option.steps or mark.kwargs["steps"], metafunc.config.option.checkpoints
        names = [name for name in ("seed", "steps", "checkpoints") if name in metafunc.fixturenames]
        arguments = [
            pytest.param(*(seed, steps, chosen == "yes" if chosen else seed % 2 == 1)[: len(names)], id=f"seed {seed}")
            for seed in seeds(metafunc.config, mark)
        ]
        metafunc.parametrize(names, arguments)


def pytest_itemcollected(item: pytest.Item) -> None:
    """More steps than usual take more time."""
    mark, limit = item.get_closest_marker("randomized"), item.get_closest_marker("timeout")
    if mark is not None and limit is not None:
        longer = max(1.0, steps_of(item) / mark.kwargs["steps"])
        item.add_marker(pytest.mark.timeout(limit.args[0] * longer), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A randomized test that failed tells the command that repeats it."""
    report = yield
    if report.failed and item.get_closest_marker("randomized"):
        report.sections.append(("Run it again", again(item)))
    return report


def seeds(config: pytest.Config, mark: pytest.Mark) -> Iterable[int]:
    """The seeds of a test: those of its mark, unless the command line says which."""
    draws, first = config.option.draws, config.option.seed
    if draws is None and first is None:
        return tuple(mark.kwargs["seeds"])
    return range(first or 0, (first or 0) + (draws or 1))


def steps_of(item: pytest.Item) -> int:
    """The steps that a test takes."""
    arguments: dict[str, Any] = item.callspec.params  # type: ignore[attr-defined] # of pytest.Function
    return int(arguments["steps"])


def again(item: pytest.Item) -> str:
    """The command that repeats a test: same seed, same steps, and the state written as often."""
    arguments: dict[str, Any] = item.callspec.params  # type: ignore[attr-defined] # of pytest.Function
    test = item.nodeid.partition("[")[0]
    options = [f"--seed={arguments['seed']}", f"--steps={arguments['steps']}"]
    if "checkpoints" in arguments:
        options.append(f"--checkpoints={'yes' if arguments['checkpoints'] else 'no'}")
    return shlex.join(["python3", "dev.py", "test", test, *options])
