"""Runs `pulumi stack export`: a program cannot read its state through the engine.

Does not interpret the state.
"""

from __future__ import annotations

import asyncio
import os

from imagefactory.state.stack_state import StackState, state_of, unread


async def read_state(stack: str) -> StackState:
    """Return the images in the state of a stack. Raises `StateError`."""
    return state_of(await export(stack))


async def export(stack: str) -> bytes:
    """Return the state of a stack (`name` or `organization/project/name`) of the project in the working directory.

    Raises `StateError`.
    """
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        process = await asyncio.create_subprocess_exec(
            *("pulumi", "stack", "export", "--stack", stack, "--non-interactive"),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
    except FileNotFoundError:
        raise unread("the pulumi command is not on the PATH. Add it, then run again") from None
    if process.returncode:
        reason = errors.decode(errors="replace").strip().partition("\n")[0]
        raise unread(f"{reason.removeprefix('error: ')}. Fix that, then run again")
    return output
