"""Starts a command that is killed if its parent dies. Run as a script: `launch.py PARENT_PID COMMAND...`.

Sets the parent death signal, then becomes the command, so that programs and providers do not survive a killed host.
Systems other than Linux have no such signal; there it only starts the command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Linux, prctl(2): the signal that this process receives when its parent dies. Kept across exec."""


def main(parent: int, command: list[str]) -> None:
    """Become `command`. Raises OSError if it cannot be started."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            # The parent died before the signal was set.
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
