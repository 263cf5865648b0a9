"""Lines of an event log, as engine 3.259 writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from imagefactory.state.run_log import COMPONENT, STACK
from imagefactory.state.stack_state import COPY, CUSTOM_IMAGE, RELEASE


def urn(kind: str, name: str) -> str:
    """The URN of a resource of the stack dev."""
    return f"urn:pulumi:dev::imagefactory::{COMPONENT}${kind}::{name}"


def _line(key: str, event: dict[str, Any]) -> str:
    return json.dumps({"sequence": 1, "timestamp": 1795838718, key: event})


def _step(key: str, kind: str, name: str, operation: str, **more: Any) -> str:
    return _line(key, {"metadata": {"op": operation, "urn": urn(kind, name), "type": kind, "old": None, **more}})


def started(kind: str, name: str, operation: str) -> Iterator[str]:
    """An operation that has not ended."""
    yield _step("resourcePreEvent", kind, name, operation)


def done(kind: str, name: str, operation: str) -> Iterator[str]:
    """An operation that ended well."""
    yield from started(kind, name, operation)
    yield _step("resOutputsEvent", kind, name, operation)


def failed(kind: str, name: str, operation: str, message: str) -> Iterator[str]:
    """An operation that failed."""
    yield from started(kind, name, operation)
    yield diagnostic(message, urn(kind, name))
    yield _step("resOpFailedEvent", kind, name, operation)


def image(name: str, operation: str) -> Iterator[str]:
    """All operations on a custom image."""
    for kind in (COPY, CUSTOM_IMAGE, RELEASE):
        yield from done(kind, name, operation)


def lab(label: str) -> Iterator[str]:
    """The component of a lab."""
    yield from done(COMPONENT, label, "same")


def outputs(**values: Any) -> str:
    """The end of the stack, with its outputs."""
    return _step("resOutputsEvent", STACK, "imagefactory-dev", "same", new={"outputs": values})


def diagnostic(message: str, of: str = "", severity: str = "error") -> str:
    """A message."""
    return _line("diagnosticEvent", {"urn": of, "message": f"{message}\n", "color": "never", "severity": severity})


def summary(result: str, **more: Any) -> str:
    """The end of a run."""
    return _line("summaryEvent", {"maybeCorrupt": False, "durationSeconds": 1, "result": result, **more})
