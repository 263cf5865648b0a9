"""Runs the pulumi command, such as `pulumi stack export`: no program can read its state through the engine.

Does not interpret the state.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from imagefactory.plain_text import printable, redacted
from imagefactory.state.stack_state import StackState, StateError, state_of, unread
from imagefactory.telemetry.phases import phase

BACKUPS = Path(".imagefactory", "backups")


async def read_state(stack: str) -> StackState:
    """Return the images in the state of a stack. Raises `StateError`."""
    with phase("read state"):
        return state_of(await export(stack))


async def export(stack: str) -> bytes:
    """Return the state of a stack (`name` or `organization/project/name`) of the project in the working directory.

    Raises `StateError`.
    """
    try:
        output, problem = await run("stack", "export", "--stack", stack)
    except FileNotFoundError:
        raise unread("the pulumi command is not on the PATH. Add it, then run again") from None
    if problem is not None:
        raise unread(f"{problem}. Fix that, then run again")
    return output


async def write(stack: str, document: Mapping[str, Any], backup: Path) -> None:
    """Replace the state of a stack in one step.

    The backend rejects a state whose resources do not fit together, and one that another command has locked. Raises
    `StateError`; then the state is as before.
    """
    _, problem = await run("stack", "import", "--stack", stack, given=json.dumps(document).encode())
    if problem is not None:
        fact = f"stack {stack}: its state cannot be written, and is as before: {problem}"
        locked = f"If no other pulumi command runs, unlock it with pulumi cancel --stack {stack}; then run again"
        remedy = locked if "locked" in problem else f"Fix that, then run again (backup: {backup})"
        raise StateError(printable(f"{redacted(fact)}. {remedy}"))


def back_up(stack: str, exported: bytes, now: datetime) -> Path:
    """Write the exported state to a new file below the working directory; return its path. Raises `StateError`."""
    path = BACKUPS / f"{stack}-{now:%Y%m%dT%H%M%S%fZ}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=False)  # a state can contain secrets, though encrypted
        path.write_bytes(exported)
    except OSError as problem:
        fact = f"stack {stack}: its state cannot be backed up to {path} ({problem.strerror}); nothing is changed"
        raise StateError(printable(f"{fact}. Make the folder writable, then run again")) from None
    return path


async def run(*words: str, given: bytes | None = None) -> tuple[bytes, str | None]:
    """Run `pulumi <words>` in a session of its own, so that Ctrl-C does not reach it.

    Return its output, and why it failed or None. Raises `FileNotFoundError`.
    """
    process = await asyncio.create_subprocess_exec(
        *("pulumi", *words, "--non-interactive"),
        env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, errors = await process.communicate(given)
    finally:
        if process.returncode is None and given is None:  # canceled, and it only reads
            process.kill()
    if not process.returncode:
        return output, None
    return output, errors.decode(errors="replace").strip().partition("\n")[0].removeprefix("error: ").rstrip(".")
