"""Lets the SDK do less per resource: no debug messages that nobody sees, no URN that nobody uses, and little garbage
collection.

Does not change what is declared.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pulumi
from pulumi.runtime import resource

from components.phases import measured

VARIABLE = "IMAGEFACTORY_DEBUG"
"""Set to anything: the SDK's debug messages are sent, for `pulumi up --debug`."""


def run(program: Callable[[], Awaitable[None]]) -> None:
    """Run the Pulumi program, measured, with a quiet SDK."""
    quiet_sdk()
    pulumi.run(measured(program))


def quiet_sdk(environment: Mapping[str, str] = os.environ) -> None:
    """Drop the SDK's debug messages, and collect garbage seldom: a program keeps most of what it makes.

    The SDK sends each debug message to the engine in a blocking call, several per resource, whether the engine shows
    it or not (`pulumi.log.debug`; the engine shows it with `--debug` only). It has no switch for that, and the engine
    does not tell a program whether it runs with `--debug`.

    For each resource, the SDK computes the URN that the resource has in a test without an engine, by eight tasks
    (`do_register` in `pulumi.runtime.resource`). Nothing reads it if there is an engine, and there is no switch either.
    """
    gc.set_threshold(100_000, 50, 50)
    resource.create_urn = _urn_if_used
    if not environment.get(VARIABLE):
        pulumi.log.debug = _drop


def _drop(*_: Any, **__: Any) -> None:
    pass


class _Unused:
    """Stands for the output that would have a URN."""

    async def future(self) -> str:
        return ""


_create_urn = resource.create_urn


def _urn_if_used(name: Any, type_: Any, parent: Any = None, *place: Any, **named: Any) -> Any:
    """Return a URN for all but a registration: only that has name and parent's URN as text."""
    unused = isinstance(name, str) and isinstance(parent, str) and not place and not named
    return _Unused() if unused else _create_urn(name, type_, parent, *place, **named)
