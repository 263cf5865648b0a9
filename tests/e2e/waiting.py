"""Waits for what a run or the cloud does next."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_SECONDS = 0.3
"""The journal and the lists of the cloud are long, so they are not read more often."""


def wait_until(happened: Callable[[], bool]) -> None:
    """Return once `happened` is true; the time limit of the test ends the wait."""
    while not happened():
        time.sleep(POLL_SECONDS)
