"""The phases of the program: measured, traced if there is a collector, and logged at the end of an update."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pulumi

from imagefactory.telemetry.phases import PHASES
from imagefactory.telemetry.traces import reason, telemetry


def measured(program: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Return the program with its phases measured; the telemetry of a run never fails it."""

    async def run() -> None:
        traces, warning = telemetry(f"imagefactory {'preview' if pulumi.runtime.is_dry_run() else 'update'}")
        problem = ""
        PHASES.spans = traces.span
        try:
            with traces.entered():
                await program()
        except BaseException as error:
            problem = reason(error)
            raise
        finally:
            lost = await asyncio.to_thread(traces.close, problem)
            for message in filter(None, (warning, lost)):
                pulumi.log.warn(message)
        if not pulumi.runtime.is_dry_run():
            pulumi.log.info(PHASES.text())

    return run
