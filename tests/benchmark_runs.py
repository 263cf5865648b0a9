"""Runs of `python -m benchmarks`, which start a cloud of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.conftest import SHORT_LIFE
from toolchain.checkout import Checkout


def measured(*options: str) -> dict[str, list[dict[str, Any]]]:
    """Return what the benchmarks print with these options and --json: rows by part."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options, "--json"],
        cwd=Checkout.here().root,
        env={**os.environ, **SHORT_LIFE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found
