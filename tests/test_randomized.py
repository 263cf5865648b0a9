"""The options of the tests that draw: how many seeds, how many steps, and how a failure is repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from toolchain.checkout import Checkout

CONFTEST = """
from tests.randomized import (
    pytest_addoption, pytest_generate_tests, pytest_itemcollected, pytest_runtest_makereport
)
"""
DRAWING = """
import pytest

@pytest.mark.timeout(30)
@pytest.mark.randomized(seeds=(3, 8), steps=2)
def test_draws(seed, steps, request):
    print("took", seed, steps, request.node.get_closest_marker("timeout").args)
    assert seed != 8
"""


def run(folder: Path, *options: str) -> str:
    """What pytest tells of one randomized test, which fails with seed 8."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(DRAWING)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = randomized(seeds, steps)\n")
    command = [sys.executable, "-m", "pytest", "-rA", "--rootdir", str(folder), "-p", "no:cacheprovider", *options]
    answer = subprocess.run(
        [*command, str(folder)], cwd=Checkout.here().root, capture_output=True, text=True, check=False
    )
    return answer.stdout


def test_without_options_a_test_takes_the_seeds_and_steps_of_its_mark(tmp_path: Path) -> None:
    """And a failure tells the command that repeats it."""
    told = run(tmp_path)
    assert "1 failed, 1 passed" in told
    assert "took 3 2 (30.0,)" in told and "took 8 2 (30.0,)" in told
    assert "python3 dev.py test test_it.py::test_draws --seed=8 --steps=2" in told


def test_options_say_how_many_seeds_from_which_on_and_how_many_steps(tmp_path: Path) -> None:
    """The time limit grows with the steps."""
    told = run(tmp_path, "--draws=2", "--steps=10")
    assert "2 passed" in told and "took 0 10 (150.0,)" in told and "took 1 10 (150.0,)" in told
    told = run(tmp_path, "--seed=8", "--steps=1")
    assert "1 failed" in told and "passed" not in told.splitlines()[-1] and "took 8 1 (30.0,)" in told
