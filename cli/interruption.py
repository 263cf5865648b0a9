"""Ctrl-C and termination, for commands that must not leave anything behind.

Owns the signals: the first one cancels the command, which cleans up; the second one ends the process at once.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """The command was stopped by a signal, whose number it has, and cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As shells count it."""
        return 128 + self.number


def run(command: Coroutine[Any, Any, Result], told: Callable[[], None]) -> Result:
    """What the command returns; `told` is called when the first signal comes. Raises `Interrupted`."""

    async def main() -> Result:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(command)
        stopped: list[int] = []

        def stop(number: int) -> None:
            stopped.append(number)
            for each in SIGNALS:
                loop.remove_signal_handler(each)
                signal.signal(each, signal.SIG_DFL)
            told()
            task.cancel()

        for each in SIGNALS:
            with suppress(NotImplementedError):  # Windows: asyncio.run itself turns Ctrl-C into a cancellation
                loop.add_signal_handler(each, stop, each)
        try:
            return await task
        except asyncio.CancelledError:
            raise Interrupted(stopped[0] if stopped else signal.SIGINT) from None

    return asyncio.run(main())
