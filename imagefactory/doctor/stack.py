"""Checks of the state of a stack: it can be read, no operation that an earlier run left. The lock is in `locks`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.storage.state_container import state_container
from imagefactory.doctor.checks import STACK, Check, some
from imagefactory.doctor.locks import check_lock, data_role
from imagefactory.plain_text import redacted
from imagefactory.state.edits import StackName
from imagefactory.state.pulumi_command import export, run
from imagefactory.state.stack_state import NoStack, StackState, StateError, name_in, parsed, resources_of


async def check_state(stack: StackName, cloud: Cloud) -> tuple[list[Check], StackState | None]:
    """Return the checks, and the state, empty if the stack does not exist; None: it cannot be read."""
    told, problem = await run("whoami", "--json") if shutil.which("pulumi") else (b"", "missing")
    # The command needs the backend to say where it is; the variable comes first for it, too.
    url = os.environ.get("PULUMI_BACKEND_URL", "") if problem else _url(told)
    where = "" if problem else _shown(url)
    try:
        document = parsed(await export(stack.name))
        state = StackState.of(resources_of(document))
    except NoStack:
        remedy = f"pulumi stack init {stack.name}"
        return [
            Check(STACK, "state backend", "failure", f"{where or 'it'} has no stack {stack.name}", remedy)
        ], StackState()
    except StateError as refusal:
        remedy = "See docs/setup.md#3-sign-in for PULUMI_BACKEND_URL and what it needs"
        if (container := state_container(url)) is None or problem == "missing":
            return [Check(STACK, "state backend", "failure", str(refusal), remedy)], None
        checks = [
            Check(
                STACK,
                "state backend",
                "failure",
                str(refusal),
                f"{remedy}. If access is denied: {data_role(container)}",
            )
        ]
        return [*checks, await check_lock(url, stack, cloud, readable=False)], None
    fact = f"{where or 'it'} is readable; the state has {len(state.images)} images"
    checks = [
        Check(STACK, "state backend", "ok", fact),
        await check_lock(url, stack, cloud, readable=True),
        *left_over(document, stack),
    ]
    return checks, state


def left_over(document: Mapping[str, Any], stack: StackName) -> Iterator[Check]:
    """Yield what earlier runs left in a state that `parsed` returned."""
    pending = list((document.get("deployment") or {}).get("pending_operations") or ())
    if pending:
        names = some([_urn(each.get("resource")) for each in pending if isinstance(each, dict)])
        fact = f"{len(pending)} operations of a run that was killed did not finish as far as the state knows ({names})"
        remedy = f"pulumi refresh --clear-pending-creates --yes --stack {stack.name}"
        yield Check(STACK, "pending operations", "warning", fact, remedy)
    else:
        yield Check(STACK, "pending operations", "ok", "none")
    unfinished = [_urn(each) for each in resources_of(document) if each.get("initErrors")]
    if unfinished:
        fact = f"{len(unfinished)} resources are unfinished ({some(unfinished)})"
        yield Check(STACK, "unfinished resources", "warning", fact, "None needed: the next run tries again")
    else:
        yield Check(STACK, "unfinished resources", "ok", "none")


def _url(told: bytes) -> str:
    try:
        return str(json.loads(told)["url"])
    except (ValueError, KeyError, TypeError):
        return ""


def _shown(url: str) -> str:
    """Return the backend without user, password and query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return redacted(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl())


def _urn(resource: object) -> str:
    urn = resource.get("urn") if isinstance(resource, dict) else None
    return name_in(str(urn))
