"""Creates programs for tests, and waits for processes."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path


def tool(folder: Path, name: str, script: str) -> Path:
    """Create an executable shell script in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def exits(pid: int) -> bool:
    """Return whether the process exits within 10 s: the kernel carries out a kill shortly after it was sent."""
    for _ in range(200):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        if not state.stdout.strip() or state.stdout.startswith("Z"):
            return True
        time.sleep(0.05)
    return False
