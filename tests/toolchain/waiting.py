"""Waits for what other processes do."""

from __future__ import annotations

import subprocess
import time


def exits(pid: int) -> bool:
    """Return whether the process exits within 10 s: the kernel carries out a kill shortly after it was sent."""
    for _ in range(200):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        if not state.stdout.strip() or state.stdout.startswith("Z"):
            return True
        time.sleep(0.05)
    return False
