"""Runs other programs: quietly, with the last lines of output for an error, or in the user's terminal.

Passes signals on to them and stops them if this process is interrupted.
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

from toolchain.errors import SetupError
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
    """Run until it exits; the latest line of output is the step's note. Raises SetupError with the last lines.

    Adds `env` to this process's environment. Stops the program if this process is interrupted.
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
        raise SetupError(step.title, f"{command[0]} cannot be started ({error.strerror})", remedy) from error
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
        raise SetupError(step.title, f"{Path(command[0]).name} failed with exit code {code}", remedy, tail)


def printed(command: Sequence[str | Path], **variables: str) -> str:
    """Return what a command prints to standard output, stripped; empty if it cannot be started or takes 60 s."""
    env = {**os.environ, **variables}
    try:
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=60, check=False, env=env
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def run_in_foreground(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> int:
    """Run in the user's terminal and return the exit code (128 + the signal, if one ended it).

    The program handles an interrupt: it receives the signal once, and this process continues to wait for it.
    """
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []
    # A terminal sends Ctrl-C to the program as well; the engine would take a second one for a kill.
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
    return shell_exit_code(code)


def shell_exit_code(code: int) -> int:
    """Return the exit code as a shell does: 128 + the signal if one ended the program (`code` is negative)."""
    return 128 - code if code < 0 else code
