"""Shows the progress of copies: a live row on a terminal, a line per 10 % elsewhere.

`EngineLog` calls the engine's Log, the only output of a plugin, because the engine hides its stdout and stderr.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import grpc.aio
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from imagefactory.copying.copier import Progress
from imagefactory.copying.totals import describe
from imagefactory.plain_text import printable_lines, redacted

LIVE_SECONDS = 1.0
"""Minimum time between two updates of a live row."""
FIRST_LINE_SECONDS = 5.0
"""Time before the first line elsewhere, such as in the log of a pipeline: a shorter copy shows none."""


def is_live(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether there is a terminal. The plugin's own streams are pipes, so check its controlling terminal."""
    if environment.get("CI") or environment.get("TF_BUILD"):
        return False
    try:
        Path("/dev/tty").open("rb").close()
    except OSError:
        return False
    return True


class EngineLog:
    """The engine's log. A message that cannot be delivered does not fail the copy."""

    def __init__(self, engine_address: str) -> None:
        self._channel = grpc.aio.insecure_channel(engine_address)
        self._engine = engine_pb2_grpc.EngineStub(self._channel)
        self._sending: set[asyncio.Task[Any]] = set()

    def show(self, urn: str, message: str) -> None:
        """Show `message` at the resource until the next one; not kept, otherwise the summary would repeat all."""
        self._send(engine_pb2.LogRequest(urn=urn, severity=engine_pb2.INFO, message=message, ephemeral=True))

    def _send(self, request: Any) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._deliver(request))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return task

    def warn(self, urn: str, message: str) -> asyncio.Task[None]:
        """Show `message` as a warning of the resource, kept in the summary; await the task to be sure of delivery."""
        return self._send(engine_pb2.LogRequest(urn=urn, severity=engine_pb2.WARNING, message=message))

    def warn_run(self, message: str) -> None:
        """Show a warning about the entire run."""
        self.warn("", message)

    async def note(self, message: str) -> None:
        """Show `message` about the entire run, kept in the summary; return when it is delivered."""
        await self._deliver(engine_pb2.LogRequest(severity=engine_pb2.INFO, message=message))

    async def _deliver(self, request: Any) -> None:
        request.message = printable_lines(redacted(request.message))
        try:
            await self._engine.Log(request)
        except grpc.aio.AioRpcError:
            return

    async def close(self) -> None:
        """Deliver pending messages and close the channel."""
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._channel.close()


class Row:
    """The row of one resource; call it with each progress of its copy."""

    def __init__(self, log: EngineLog, urn: str, *, live: bool) -> None:
        self._log, self._urn, self._live = log, urn, live
        self._began = monotonic()
        self._shown_at = self._began
        self._shown_tenth = 0
        self._note = ""

    def __call__(self, progress: Progress) -> None:
        """Show `progress` if an update is due."""
        if progress.note != self._note and progress.note:
            self.say(progress.note)
        self._note = progress.note
        if progress.note:
            return
        now = monotonic()
        tenth = 10 * progress.done // max(progress.total, 1)
        if self._live:
            is_due = now - self._shown_at >= LIVE_SECONDS
        else:
            is_due = now - self._began >= FIRST_LINE_SECONDS and tenth > self._shown_tenth
        if is_due:
            self._shown_at, self._shown_tenth = now, tenth
            self._log.show(self._urn, describe(progress, now - self._began))

    def say(self, message: str) -> None:
        """Show what happens instead of a copy."""
        self._log.show(self._urn, message)

    def warn(self, message: str) -> None:
        """Show a warning that is kept after the copy finished."""
        self._log.warn(self._urn, message)
