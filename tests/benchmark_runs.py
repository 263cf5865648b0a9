"""Runs of `python -m benchmarks`, which start a cloud of their own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import SHORT_LIFE
from tests.warm.python import COLD, warm_engine
from toolchain.checkout import Checkout
from toolchain.setup.engine import ensure_engine
from toolchain.shell import tool_variables


def measured(*options: str, python: Path = COLD) -> dict[str, list[dict[str, Any]]]:
    """Return what the benchmarks print with these options and --json, run by `python`: rows by part."""
    checkout = Checkout.here()
    engine = tool_variables(checkout, ensure_engine(checkout))
    done = subprocess.run(
        [python, "-m", "benchmarks", *options, "--json"],
        cwd=checkout.root,
        env={**os.environ, **warm_engine(engine, python), **SHORT_LIFE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found
