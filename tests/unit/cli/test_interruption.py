"""A command that is stopped cleans up, and gives what it has."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import pytest

from imagefactory.cli.interruption import Ended, run


@pytest.mark.usefixtures("handlers")
def test_a_cancellation_from_outside_is_told_as_ctrl_c() -> None:
    """On Windows asyncio itself turns Ctrl-C into one; the command is waited for all the same."""
    said: list[str] = []

    async def command() -> str:
        (main,) = asyncio.all_tasks() - {asyncio.current_task()}
        main.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return "cleaned up"

    assert run(command(), "cleaning up", said.append) == Ended("cleaned up", signal.SIGINT)
    assert said == ["Stopping: cleaning up (press Ctrl-C again to quit now)."]
