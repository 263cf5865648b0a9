"""What the stack's own state holds: the custom images, by resource name.

Owns one question that the plan cannot answer and a wrong answer to which deletes images: an import option whose id
differs, in letter case even, from the one in the state makes the engine delete what stands there (docs/adr). So only
what the state does not hold is imported. The engine gives a program no view of its state; its own CLI does.
"""

from __future__ import annotations

import asyncio
import json
import os

import pulumi

from imagefactory.plain_text import printable, redacted

CUSTOM_IMAGE = "azure-native:devtestlab:CustomImage"


async def images_in_state() -> frozenset[str]:
    """Resource names of the custom images that the stack holds, whole or not. Raises `pulumi.RunError`."""
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
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
        raise _unread("the command pulumi is not on the PATH. Put it there, then run again") from None
    if process.returncode:
        reason = errors.decode(errors="replace").strip().partition("\n")[0]
        raise _unread(f"{reason.removeprefix('error: ')}. Mend that, then run again")
    deployment = json.loads(output).get("deployment") or {}  # a stack that never ran may have none
    resources = deployment.get("resources") or []
    return frozenset(
        str(resource["urn"]).rpartition("::")[2]
        for resource in resources
        if resource["type"] == CUSTOM_IMAGE and not resource.get("delete")
    )


def _unread(reason: str) -> pulumi.RunError:
    told = "state: which images the stack holds cannot be told, so nothing is declared and nothing is deleted"
    return pulumi.RunError(printable(f"{told}: {redacted(reason)}"))
