"""An interrupted command cleans up and returns its result so far."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import pytest

from imagefactory.cli.terminal.interruption import Ended, run


@pytest.mark.usefixtures("handlers")
def test_a_cancellation_from_outside_counts_as_ctrl_c() -> None:
    """On Windows, asyncio turns Ctrl-C into a cancellation; the command still cleans up and returns its result."""
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
