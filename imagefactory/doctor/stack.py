"""Checks of the state of a stack: it can be read, no lock, no operation that an earlier run left.

`pulumi stack export` ignores locks, and no command of the CLI shows them. A `file://` backend has them as files
(pkg/backend/diy/lock.go: `.pulumi/locks/organization/<project>/<stack>/*.json`); other backends are not looked into.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from imagefactory.doctor.checks import STACK, Check, some
from imagefactory.plain_text import redacted
from imagefactory.state.edits import StackName
from imagefactory.state.pulumi_command import export, run
from imagefactory.state.stack_state import NoStack, StackState, StateError, name_in, parsed, resources_of


async def check_state(stack: StackName) -> tuple[list[Check], StackState | None]:
    """Return the checks, and the state, empty if the stack does not exist; None: it cannot be read."""
    told, problem = await run("whoami", "--json") if shutil.which("pulumi") else (b"", "missing")
    where = "" if problem else _url(told)
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
        return [Check(STACK, "state backend", "failure", str(refusal), remedy)], None
    fact = f"{where or 'it'} is readable; the state has {len(state.images)} images"
    checks = [Check(STACK, "state backend", "ok", fact), lock(where, stack), *left_over(document, stack)]
    return checks, state


def lock(where: str, stack: StackName) -> Check:
    """Return whether the stack is locked; the backend at `where` is looked into if it is a folder."""
    folder = _folder(where)
    if folder is None:
        fact = "no command of pulumi shows the locks of this backend without taking one"
        return Check(STACK, "state lock", "unknown", fact, f"If a run is refused: pulumi cancel --stack {stack.name}")
    # Stacks of a backend without projects, as of old versions, have their locks elsewhere.
    locks = folder / ".pulumi" / "locks" / "organization" / stack.project / stack.name
    found = sorted(locks.glob("*.json")) if locks.is_dir() else []
    if not found:
        return Check(STACK, "state lock", "ok", "none")
    holders = ", ".join(map(_holder, found))
    remedy = f"If no other pulumi command runs: pulumi cancel --stack {stack.name}"
    return Check(STACK, "state lock", "failure", f"the state is locked by {holders}", remedy)


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
    """Return the backend without user, password and query."""
    try:
        parts = urlsplit(str(json.loads(told)["url"]))
    except (ValueError, KeyError, TypeError):
        return ""
    return redacted(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl())


def _folder(where: str) -> Path | None:
    parts = urlsplit(where)
    if parts.scheme != "file":
        return None
    path = unquote(parts.netloc + parts.path)
    if os.name == "nt":
        path = path.lstrip("/")
    return Path(path).expanduser()


def _holder(file: Path) -> str:
    try:
        told = json.loads(file.read_bytes())
        return f"{told['username']}@{told['hostname']} (pid {told['pid']}) since {told['timestamp']}"
    except (OSError, ValueError, KeyError, TypeError):
        return file.name


def _urn(resource: object) -> str:
    urn = resource.get("urn") if isinstance(resource, dict) else None
    return name_in(str(urn))
