"""Starts a command that dies with the process that started it. Run as a script: `launch.py PARENT_PID COMMAND...`.

Owns the death signal and nothing else; it then becomes the command. A host that is killed takes its program and its
providers along. On systems other than Linux, which have no death signal, the command simply starts.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Linux, prctl(2): the signal that this process gets when its parent ends. Kept across exec."""


def main(parent: int, command: list[str]) -> None:
    """Become `command`. Does not return; raises OSError if it cannot be started."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            # The parent ended before the signal was set.
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
