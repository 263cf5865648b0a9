"""Whether the state of a stack is locked, since when and by whom, without taking a lock.

`pulumi stack export` ignores locks, and no command of the CLI shows those of an own backend. They are looked up where
Pulumi writes them (pkg/backend/diy/lock.go): in a folder (`file://`) and in a container of Azure (`azblob://`).
Pulumi Cloud (`https://`) shows an update in progress in `pulumi stack ls --json` (cmd/pulumi/stack/stack_list.go).
Others (`s3://`, `gs://`, `postgres://`) are not looked into.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.storage.state_container import SCHEME, StateContainer, locks_in, state_container
from imagefactory.doctor.access import REQUEST_SECONDS
from imagefactory.doctor.checks import STACK, Check, of_diagnostic, too_late
from imagefactory.errors import ImageFactoryError
from imagefactory.state.edits import StackName
from imagefactory.state.pulumi_command import run

NAME = "state lock"
_DENIED = {401, 403}


async def check_lock(url: str, stack: StackName, cloud: Cloud, *, readable: bool) -> Check:
    """Return whether the stack is locked in the backend at `url`; `readable` says whether pulumi could read the state.

    What it cannot find out is a failure only if it would keep pulumi from its lock, too.
    """
    scheme = urlsplit(url).scheme if url else ""
    cancel = f"pulumi cancel --stack {stack.name}"
    if scheme == "file":
        return _of_locks(_in_folder(url, stack), cancel)
    if scheme == SCHEME and (place := state_container(url)):
        return await _in_container(place, stack, cloud, cancel, readable=readable)
    if scheme in {"https", "http"}:
        return await _in_pulumi_cloud(stack, cancel)
    fact = f"no command of pulumi shows the locks of a backend {scheme or 'of this kind'} without taking one"
    return Check(STACK, NAME, "unknown", fact, f"If a run is refused: {cancel}")


def data_role(place: StateContainer) -> str:
    """Return the remedy for access that is denied."""
    if place.way:
        return f"Check {place.way}, with which pulumi opens {place.place}"
    return f"Grant this identity the role Storage Blob Data Contributor on {place.place} (see docs/permissions.md)"


async def _in_container(place: StateContainer, stack: StackName, cloud: Cloud, cancel: str, *, readable: bool) -> Check:
    try:
        return _of_locks(
            await asyncio.wait_for(locks_in(place, cloud, stack.project, stack.name), REQUEST_SECONDS), cancel
        )
    except asyncio.TimeoutError:
        found = too_late(STACK, NAME, REQUEST_SECONDS)
        return found if readable else replace(found, result="failure")
    except CloudError as refusal:
        found = of_diagnostic(STACK, NAME, refusal.diagnostic)
        denied = refusal.status in _DENIED
        if denied and refusal.code != "AuthorizationFailure":  # that is a network rule
            found = replace(found, remedy=data_role(place))
        if readable and not (denied and place.way):
            why = "; pulumi, which signs in to it by itself, could read the state" if denied else ""
            return replace(found, result="unknown", fact=found.fact + why)
        return found
    except ImageFactoryError as problem:  # nobody is signed in, which is a check of its own
        return Check(STACK, NAME, "unknown", str(problem), f"If a run is refused: {cancel}")


async def _in_pulumi_cloud(stack: StackName, cancel: str) -> Check:
    told, problem = await run("stack", "ls", "--json")
    fact = f"pulumi stack ls failed: {problem}"
    try:
        listed = [] if problem else [(str(each["name"]), each.get("updateInProgress")) for each in json.loads(told)]
    except (ValueError, TypeError, KeyError, AttributeError):
        listed, problem = [], "invalid"
        fact = "the output of pulumi stack ls is not as documented"
    exact = [running for name, running in listed if name == stack.name]
    found = exact or [running for name, running in listed if name.rpartition("/")[2] == stack.name]
    if len(found) != 1:
        if not problem:
            fact = f"pulumi stack ls shows {len(found)} stacks of this name, so whether an update runs is not known"
        return Check(STACK, NAME, "unknown", fact, f"If a run is refused: {cancel}")
    if found[0]:
        remedy = f"Wait until it has ended; if no other pulumi command runs: {cancel}"
        return Check(STACK, NAME, "failure", "an update of the stack is in progress in Pulumi Cloud", remedy)
    return Check(STACK, NAME, "ok", "none: no update is in progress in Pulumi Cloud")


def _of_locks(found: Mapping[str, bytes], cancel: str) -> Check:
    if not found:
        return Check(STACK, NAME, "ok", "none")
    holders = ", ".join(_holder(name, content) for name, content in sorted(found.items()))
    remedy = f"Wait until it has ended; if no other pulumi command runs: {cancel}"
    return Check(STACK, NAME, "failure", f"the state is locked by {holders}", remedy)


def _in_folder(url: str, stack: StackName) -> Mapping[str, bytes]:
    parts = urlsplit(url)
    path = unquote(parts.netloc + parts.path)
    if os.name == "nt":
        path = path.lstrip("/")
    # Stacks of a backend without projects, as of old versions, have their locks elsewhere.
    locks = Path(path).expanduser() / ".pulumi" / "locks" / "organization" / stack.project / stack.name
    found: dict[str, bytes] = {}
    for file in locks.glob("*.json") if locks.is_dir() else ():
        try:
            found[file.name] = file.read_bytes()
        except FileNotFoundError:  # the run ended meanwhile
            continue
        except OSError:
            found[file.name] = b""
    return found


def _holder(name: str, content: bytes) -> str:
    try:
        told = json.loads(content)
        return f"{told['username']}@{told['hostname']} (pid {told['pid']}) since {told['timestamp']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return name
