"""What runs did, from the engine's event logs: `PULUMI_DEBUG_COMMANDS=true pulumi up --event-log FILE`.

The engine writes one JSON object per line as things happen, so the log of a killed run ends early and is used as far as
it goes. The Automation API of Pulumi reads the same log; its form is `apitype.EngineEvent` (github.com/pulumi/pulumi,
sdk/go/common/apitype/events.go), the operations are `apitype.OpType`. Seen with engine 3.259: an operation is announced
by `resourcePreEvent` and ends with `resOutputsEvent` or `resOpFailedEvent`; its errors are `diagnosticEvent`s with its
URN; the last event of a resource of type `pulumi:pulumi:Stack` has the stack's outputs, also after failures.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagefactory.errors import ImageFactoryError
from imagefactory.plain_text import printable
from imagefactory.reports.run_summary import DONE, ORDER, Item, Outcome, Part, Result, RunSummary, by_need
from imagefactory.state.stack_state import (
    COPY,
    CUSTOM_IMAGE,
    DEFINITION,
    GALLERY,
    LAB_GALLERY,
    RELEASE,
    VERSION,
    name_in,
)
from imagefactory.telemetry.phases import phases_in

COMPONENT, STACK = "imagefactory:labs:LabImages", "pulumi:pulumi:Stack"
PLAN_FAILURES = "vhdcopy:index:PlanFailures"
ATTACHMENT = "attachment of the gallery"
_CHAIN = (COPY, CUSTOM_IMAGE, RELEASE)
_OPERATIONS: Mapping[str, Outcome] = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "create-replacement": "replaced",
    "replace": "replaced",
    "import": "created",
}
"""Others, such as `same` and `refresh`, change nothing."""
_REFRESH = frozenset({"refresh", "read", "read-replacement"})
_LABEL = re.compile(r"[^\s:;,/()]+@[0-9a-f]{8}(?![^\s:;,/()])")
_ENDS = frozenset({"update failed", "update canceled", "resource operation failed"})
"""Errors that only say that there were errors."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Diagnostic(_Event):
    urn: str = ""
    message: str = ""
    severity: str = ""


class _State(_Event):
    outputs: dict[str, Any] | None = None


class _Metadata(_Event):
    op: str
    urn: str = Field(pattern="^urn:pulumi:")
    type: str
    new: _State | None = None


class _Step(_Event):
    metadata: _Metadata


class _Summary(_Event):
    result: str = ""
    is_preview: bool = Field(False, alias="isPreview")


class _Line(_Event):
    timestamp: int = 0
    begun: _Step | None = Field(None, alias="resourcePreEvent")
    ended: _Step | None = Field(None, alias="resOutputsEvent")
    failed: _Step | None = Field(None, alias="resOpFailedEvent")
    diagnostic: _Diagnostic | None = Field(None, alias="diagnosticEvent")
    summary: _Summary | None = Field(None, alias="summaryEvent")


@dataclass
class _Operations:
    """The operations on the resources of one image, by resource type."""

    begun: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def item(self, name: str) -> Item:
        """Return what became of the image."""
        if self.failed or self.errors:
            return Item(name, "failed", "; ".join(dict.fromkeys(self.errors)))
        if self.begun:
            return Item(name, "interrupted", "it was under way when the log ended")
        changes = {kind: _OPERATIONS[op] for kind, op in self.ended.items() if op in _OPERATIONS}
        if not changes:
            return Item(name, "unchanged")
        is_chain = bool(self.ended.keys() & {COPY, RELEASE})
        if CUSTOM_IMAGE in self.ended or not is_chain:
            return Item(name, changes.get(CUSTOM_IMAGE, "updated") if is_chain else next(iter(changes.values())))
        if changes.get(COPY) == "deleted":  # the rest of an image that never was
            return Item(name, "deleted")
        return Item(name, "not done", "the run ended before its image")


@dataclass
class _Run:
    """One log, as far as it goes."""

    stack: str = ""
    times: list[int] = field(default_factory=list)
    result: Result = "interrupted"
    is_preview: bool = False
    images: dict[tuple[str, str], _Operations] = field(default_factory=dict)
    labs: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    phases: list[str] = field(default_factory=list)
    """As program and plugin log them, each with its duration."""

    @property
    def seconds(self) -> int:
        """How long it took, as far as the log goes."""
        return max(self.times, default=0) - min(self.times, default=0)

    def add(self, line: _Line) -> None:
        """Add what an event tells."""
        self.times += [line.timestamp] if line.timestamp else []
        for step, ends in ((line.begun, ""), (line.ended, "ended"), (line.failed, "failed")):
            if step:
                self._step(step.metadata, ends)
        if line.diagnostic and line.diagnostic.severity == "error":
            self._error(line.diagnostic)
        elif line.diagnostic:
            self.phases += phases_in(line.diagnostic.message)
        if line.summary:
            known = line.summary.result in get_args(Result)
            self.result = cast(Result, line.summary.result) if known else "failed"
            self.is_preview = line.summary.is_preview

    def _step(self, metadata: _Metadata, ends: str) -> None:
        self.stack = self.stack or metadata.urn.split(":")[2]
        if metadata.type == STACK and ends:
            self.outputs = (metadata.new and metadata.new.outputs) or {}
        if metadata.type == COMPONENT and _OPERATIONS.get(metadata.op) != "deleted":
            self.labs.add(name_in(metadata.urn))
        if (operations := self._of(metadata.urn, metadata.type)) is None:
            return
        if not ends:
            operations.begun[metadata.type] = metadata.op
            return
        operations.begun.pop(metadata.type, None)
        if ends == "failed":
            operations.failed[metadata.type] = metadata.op
        elif metadata.op not in _REFRESH and operations.ended.get(metadata.type) not in _OPERATIONS:
            operations.ended[metadata.type] = metadata.op

    def _of(self, urn: str, kind: str) -> _Operations | None:
        """Return the operations on the image of a resource; None if it is of no image."""
        name = name_in(urn)
        if kind == LAB_GALLERY:
            key = (name, ATTACHMENT)
        elif kind in {GALLERY, DEFINITION, VERSION}:
            key = ("", name)
        elif kind in _CHAIN:
            label, _, image = name.rpartition("/")
            key = (label, image)
        else:
            return None
        return self.images.setdefault(key, _Operations())

    def _error(self, found: _Diagnostic) -> None:
        message = found.message.strip()
        if PLAN_FAILURES in found.urn:  # its errors are in the log, too
            return
        if found.urn and (operations := self._of(found.urn, found.urn.rpartition("::")[0].rpartition("$")[2])):
            operations.errors.append(message)
        elif message not in _ENDS and message not in self.errors:
            self.errors.append(message)

    def items(self) -> Iterator[tuple[str, Item]]:
        """Yield what became of each image, with the label of its lab."""
        kept = {(one["lab"], one["image"]): one["reason"] for one in _rows(self.outputs.get("retained"))}
        for (label, name), operations in self.images.items():
            item = operations.item(name)
            reason = kept.get((label, name))
            yield label, Item(name, "kept", reason) if reason and item.outcome == "unchanged" else item
        for one in _rows(self.outputs.get("omissions")):
            if one["lab"]:
                yield one["lab"], Item(one["image"] or one["imagePath"], "left out", one["reason"])


def _rows(found: Any) -> list[dict[str, str]]:
    """Return the rows of a stack output that is a list of objects, each with all its keys as texts."""
    rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    return [{key: str(row.get(key) or "") for key in ("lab", "image", "imagePath", "reason")} for row in rows]


def read_run(log: Iterable[str]) -> _Run:
    """Return what one log tells; lines that are no events of the engine, such as a cut one, are skipped."""
    run = _Run()
    for text in log:
        try:
            line = _Line.model_validate_json(text)
        except ValidationError:
            continue
        run.add(line)
    return run


def summarized(*logs: Iterable[str]) -> RunSummary:
    """Return what the runs of these logs did, one after the other: what the last one left undone is not done."""
    return _summary([read_run(log) for log in logs])


def _summary(runs: Sequence[_Run]) -> RunSummary:
    last = runs[-1]
    found: dict[tuple[str, str], Item] = {}
    for run in runs:
        for label, item in run.items():
            before = found.get((label, item.name))
            if not before or before.outcome not in DONE or item.outcome not in {"unchanged", "kept"}:
                found[label, item.name] = item
    labels = {label for run in runs for label in run.labs} | {label for label, _ in found}
    named = {text: _label_in(text, labels) for text in last.errors}
    parts = {
        label: Part(
            label,
            tuple(sorted((item for (owner, _), item in found.items() if owner == label), key=_place)),
            tuple(text for text, owner in named.items() if owner == label),
        )
        for label in labels | {""}
    }
    gallery = parts.pop("")
    return RunSummary(
        next((run.stack for run in runs if run.stack), ""),
        last.result,
        sum(run.seconds for run in runs),
        by_need(parts.values()),
        Part("", gallery.items) if gallery.items else None,
        tuple(text for text, owner in named.items() if not owner),
        tuple(phase for run in runs for phase in run.phases),
    )


def _place(item: Item) -> tuple[int, str]:
    return ORDER.index(item.outcome), item.name


def _label_in(text: str, labels: Collection[str]) -> str:
    """Return the first lab whose label an error names; empty if it names none."""
    return next((label for label in _LABEL.findall(text) if label in labels), "")


def read_logs(files: Iterable[Path]) -> RunSummary:
    """Return what the runs with these logs did. Raises `ImageFactoryError` if one cannot be read or is no log."""
    runs = []
    for file in files:
        try:
            run = read_run(file.read_text("utf-8", errors="replace").splitlines())
        except OSError as problem:
            raise _unusable(file, f"cannot be read ({problem.strerror})") from None
        if run.is_preview:
            raise _unusable(file, "is the log of a preview")
        if not run.stack and run.result == "interrupted" and not run.errors:
            raise _unusable(file, "has no event of an update")
        runs.append(run)
    return _summary(runs)


def _unusable(file: Path, fact: str) -> ImageFactoryError:
    command = "PULUMI_DEBUG_COMMANDS=true pulumi up --event-log FILE"
    return ImageFactoryError(
        printable(f"event log {file}: {fact}; what the run did is not known. Write the log with: {command}")
    )
