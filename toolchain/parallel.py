"""Runs commands in parallel, such as checks, and collects the output of each.

Stops all of them on Ctrl-C or SIGTERM, with the processes that they started. Does not print.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolchain.processes import shell_exit_code
from toolchain.progress import Step

GRACE_SECONDS = 5.0
"""Between the request to exit and the kill."""
NOT_STARTED = 127


@dataclass(frozen=True)
class Finished:
    """A command that exited: its exit code (128 + the signal, if one ended it), wall time, and all of its output."""

    name: str
    code: int
    seconds: float | None = None
    output: str = ""

    @property
    def result(self) -> str:
        """The outcome, such as "passed, 3 s"."""
        outcome = f"FAILED (exit code {self.code})" if self.code else "passed"
        return outcome if self.seconds is None else f"{outcome}, {self.seconds:.0f} s"


def run_in_parallel(
    step: Step,
    commands: Mapping[str, Sequence[str | Path]],
    show: Callable[[Finished], None],
    *,
    processes: int,
    cwd: Path,
    env: Mapping[str, str],
) -> None:
    """Run all commands, `processes` at a time, started in their order; the step's note names those that are running.

    Call `show` with each command that exits. A failure stops no other command.
    Raises KeyboardInterrupt on SIGINT or SIGTERM, after all commands have been stopped; a second signal kills them.
    """
    places = asyncio.Semaphore(processes)
    running: list[str] = []

    async def run(name: str) -> None:
        async with places:
            running.append(name)
            step.note = ", ".join(running)
            started = time.monotonic()
            code, output = await _run([str(part) for part in commands[name]], cwd, env)
            running.remove(name)
            show(Finished(name, code, time.monotonic() - started, output))

    async def run_all() -> None:
        tasks = [asyncio.create_task(run(name)) for name in commands]

        def stop() -> None:
            for task in tasks:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if any(not task.cancelled() and task.exception() for task in done):
            stop()
        await asyncio.wait(tasks)
        for task in tasks:
            task.result()

    try:
        asyncio.run(run_all())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _run(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """Run in a session of its own, so that its whole process group can be stopped."""
    start = asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    starting = asyncio.ensure_future(start)
    try:
        # A start that is cancelled kills the process alone, not what it has started already.
        process = await asyncio.shield(starting)
        output, _ = await process.communicate()
    except OSError as error:
        return NOT_STARTED, f"{command[0]}: cannot be started ({error.strerror})\n"
    except asyncio.CancelledError:
        with suppress(OSError):
            await _stop(await starting)
        raise
    return shell_exit_code(process.returncode or 0), output.decode("utf-8", "replace")


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Stop the process and its group; at once if it is cancelled."""
    _signal_group(process.pid, signal.SIGTERM)
    try:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_SECONDS)
    finally:
        _signal_group(process.pid, signal.SIGKILL)
    await process.wait()


def _signal_group(leader: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, number)
