"""Running other programs: quietly with a log, or in the foreground with the user's terminal.

Owns their output, their end at Ctrl-C, and the message when they fail.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from toolchain.faults import SetupFault
from toolchain.progress import Step

TAIL_LINES = 12


def run_quietly(
    step: Step,
    command: Sequence[str | Path],
    *,
    remedy: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run to the end; the last line of output is the step's note. Raises SetupFault with the output's tail if it fails.

    `env` is added to this process's environment. The child is ended if this process is interrupted.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise SetupFault(step.title, f"{command[0]} could not be started ({error.strerror})", remedy) from error
    try:
        assert process.stdout is not None  # noqa: S101 - stdout=PIPE
        for line in process.stdout:
            if line.strip():
                tail.append(line.rstrip())
                step.note = line.strip()
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if code:
        raise SetupFault(step.title, f"{Path(command[0]).name} ended with exit code {code}", remedy) from ToolOutput(
            tail
        )


class ToolOutput(Exception):
    """The last lines that a failed tool printed; the cause of a SetupFault."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(f"  | {line}" for line in lines))


def run_in_foreground(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> int:
    """Run with the user's terminal and return its exit code (128 + the signal, if one ended it).

    An interrupt is the child's to handle: it is passed on, once, and this process goes on waiting.
    """
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []
    # A terminal sends Ctrl-C to the child as well; a second one would mean "kill" to the engine.
    from_terminal = sys.stdin is not None and sys.stdin.isatty()

    def pass_on(number: int, frame: FrameType | None) -> None:
        if process is None:
            early.append(number)
        elif process.poll() is None and not (number == signal.SIGINT and from_terminal):
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen([str(part) for part in command], cwd=cwd, env=dict(env))
        for number in early:
            pass_on(number, None)
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code
