"""The options of the tests that draw: how many seeds and steps, how often the state is written, and how a failure is
repeated."""

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


def run(folder: Path, *options: str, drawing: str = DRAWING) -> str:
    """What pytest tells of one randomized test, which fails with seed 8."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(drawing)
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


def test_the_state_is_written_at_each_step_with_odd_seeds_only_unless_an_option_says_it(tmp_path: Path) -> None:
    """So that the seeds of a mark can have both, and a failure is repeated in the mode that it had."""
    drawing = DRAWING.replace("steps, request):", "steps, checkpoints, request):").replace(
        '"took", seed, steps', '"took", seed, checkpoints'
    )
    told = run(tmp_path, drawing=drawing)
    assert "took 3 True" in told and "took 8 False" in told and "--steps=2 --checkpoints=no" in told
    told = run(tmp_path, "--checkpoints=yes", drawing=drawing)
    assert "took 3 True" in told and "took 8 True" in told and "--steps=2 --checkpoints=yes" in told
    assert "took 3 False" in run(tmp_path, "--checkpoints=no", drawing=drawing)
