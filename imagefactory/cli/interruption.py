"""Ctrl-C and termination, for commands that must not leave anything behind.

Owns the signals: the first one cancels the command, which cleans up; the second one ends the process at once.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from imagefactory.cli.output import tell

Result = TypeVar("Result")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Ended(Generic[Result]):
    """How a command ended."""

    result: Result | None
    """None: it was stopped before it had any."""
    signal: int | None = None
    """The number of the signal that stopped it."""


def to_stderr(line: str) -> None:
    """Print a line that is no result."""
    tell(line, err=True)


def run(command: Coroutine[Any, Any, Result], stopping: str, say: Callable[[str], None] = to_stderr) -> Ended[Result]:
    """Run the command to its end; when the first signal comes, `stopping` is said and the command is cancelled."""

    async def main() -> Ended[Result]:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(command)
        stopped: list[int] = []

        def stop(number: int) -> None:
            stopped.append(number)
            for each in SIGNALS:
                with suppress(NotImplementedError):
                    loop.remove_signal_handler(each)
                    signal.signal(each, signal.SIG_DFL)
            say(stopping)
            task.cancel()

        for each in SIGNALS:
            with suppress(NotImplementedError):  # Windows: asyncio.run itself turns Ctrl-C into a cancellation
                loop.add_signal_handler(each, stop, each)
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                stop(signal.SIGINT)
        number = stopped[0] if stopped else None
        return Ended(None, number or signal.SIGINT) if task.cancelled() else Ended(task.result(), number)

    return asyncio.run(main())
