"""Ctrl-C and termination: the first signal cancels the command, which cleans up; the second one ends the process.

Does not print reports or choose exit codes: `imagefactory.cli.terminal.report` does.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from imagefactory.cli.terminal.output import to_stderr

Result = TypeVar("Result")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Ended(Generic[Result]):
    """How a command ended."""

    result: Result | None
    """None: it was interrupted before it had a result."""
    signal: int | None = None
    """The number of the signal that interrupted it."""


def run(
    command: Coroutine[Any, Any, Result], cleanup: str = "", say: Callable[[str], None] = to_stderr
) -> Ended[Result]:
    """Run a command. The first signal cancels it, and `say` prints that it stops, and with which `cleanup`."""

    async def main() -> Ended[Result]:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(command)
        received: list[int] = []

        def stop(number: int) -> None:
            received.append(number)
            for each in SIGNALS:
                with suppress(NotImplementedError):
                    loop.remove_signal_handler(each)
                    signal.signal(each, signal.SIG_DFL)
            say(f"Stopping{': ' * bool(cleanup)}{cleanup} (press Ctrl-C again to quit now).")
            task.cancel()

        for each in SIGNALS:
            with suppress(NotImplementedError):  # Windows: asyncio.run itself turns Ctrl-C into a cancellation
                loop.add_signal_handler(each, stop, each)
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                stop(signal.SIGINT)
        number = received[0] if received else None
        return Ended(None, number or signal.SIGINT) if task.cancelled() else Ended(task.result(), number)

    return asyncio.run(main())
