"""Injected latencies and faults, and the journal of calls, shared by the blob service and the resource manager.

Matches rules with calls and counts them exactly: each rule counts every call that it matches, even if another rule
applies to it. Does not perform actions; the service that was called does.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

Service = Literal["blob", "arm"]
Kind = Literal["request", "copy", "image", "operation", "replication"]

Span = tuple[int, int]
"""A range of a blob: offset and length in bytes."""

_SIGNATURE = re.compile(r"(?i)([?&]sig=)[^&]*")
_JOURNAL_LENGTH = 300_000


class Document(BaseModel):
    """Base of the JSON formats of the embedded cloud: camelCase, without unknown keys."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def to_json(self) -> dict[str, Any]:
        """Return the value as JSON data, without omitted keys."""
        return self.model_dump(by_alias=True, exclude_unset=True, mode="json")


class Settings(Document):
    """A document whose omitted keys have defaults."""

    def to_json(self) -> dict[str, Any]:
        """Return all values as JSON data, including defaults."""
        return self.model_dump(by_alias=True, mode="json")


class Latencies(Settings):
    """The duration of operations, in seconds; by default everything finishes immediately."""

    copy_seconds: float = Field(0.0, ge=0)
    """The duration of a server-side copy of any size."""
    copy_bytes_per_second: float | None = Field(None, gt=0)
    """If set, a copy takes its source's length divided by this, in addition to `copySeconds`."""
    page_seconds: float = Field(0.0, ge=0)
    """The duration of each Put Page and Put Page From URL."""
    image_create_seconds: float = Field(0.0, ge=0)
    image_delete_seconds: float = Field(0.0, ge=0)
    vm_delete_seconds: float = Field(0.0, ge=0)
    disk_access_seconds: float = Field(0.0, ge=0)
    """Granting access to a disk, and revoking it."""
    gallery_replication_seconds: float = Field(0.0, ge=0)
    """Replicating a gallery image version to a region: first its own, then the others side by side."""
    gallery_delete_seconds: float = Field(0.0, ge=0)
    """Deleting a gallery image version."""
    shared_image_seconds: float = Field(0.0, ge=0)
    """How long a lab does not show a definition that is new in its attached gallery."""
    container_delete_seconds: float = Field(0.0, ge=0)
    """How long a deleted container cannot be created again (409 ContainerBeingDeleted); Azure: at least 30."""


class OperationFailure(Document):
    """The error of an operation that was accepted."""

    code: str
    message: str


class Action(Document):
    """What happens to a call that a rule matches; `delaySeconds` comes first."""

    delay_seconds: float | None = Field(None, ge=0)
    drop: bool | Literal["after"] = False
    """Cut the connection: `true` before the call is performed, `after` instead of its response."""
    corrupt: bool = False
    """Put Page From URL writes the range with one byte changed, and returns the digest of what it wrote."""
    status: int | None = Field(None, ge=300, le=599)
    code: str = "InjectedFault"
    message: str = "Injected by a fault rule of the embedded cloud."
    retry_after: int | None = Field(None, ge=0)
    copy_source_status: int | None = Field(None, ge=300, le=599)
    """What the source of a copy answered, as newer API versions report it beside `CannotVerifyCopySource`."""
    copy_source_code: str | None = None
    copy_seconds: float | None = Field(None, ge=0)
    copy_fails: str | None = None
    copy_stalls: bool = False
    image_fails: OperationFailure | None = None
    """The PUT of a custom image, a gallery, a definition or a version is accepted and fails."""
    operation_fails: OperationFailure | None = None
    """The deletion of a virtual machine or of a gallery, a definition or a version, or a change of access to a disk, is
    accepted and fails."""
    replication_fails: OperationFailure | None = None
    """The replication of a gallery image version to a region fails."""
    replication_seconds: float | None = Field(None, ge=0)
    """The duration of the replication to a region."""

    @property
    def kind(self) -> Kind:
        """`request` actions affect the call, the others what it started."""
        if self.image_fails:
            return "image"
        if self.operation_fails:
            return "operation"
        if self.replication_fails or self.replication_seconds is not None:
            return "replication"
        if self.copy_seconds is not None or self.copy_fails is not None or self.copy_stalls:
            return "copy"
        return "request"

    @model_validator(mode="after")
    def _one_kind(self) -> Action:
        about_call = bool(self.drop) or self.status is not None or self.delay_seconds is not None or self.corrupt
        about_copy = self.copy_seconds is not None or self.copy_fails is not None or self.copy_stalls
        about_region = self.replication_fails is not None or self.replication_seconds is not None
        failures = [self.image_fails is not None, self.operation_fails is not None]
        if [about_call, about_copy, about_region, *failures].count(True) != 1:
            raise ValueError(
                "an action affects a call (status, drop, delaySeconds, corrupt), a copy (copySeconds, copyFails, "
                "copyStalls), a replication (replicationSeconds, replicationFails), an image (imageFails) or another "
                "operation (operationFails): set exactly one of the five"
            )
        return self


class FaultRule(Document):
    """The calls that an action affects; `path` is a case-insensitive regular expression, searched in `path?query`."""

    name: str | None = None
    service: Service
    method: str | None = None
    path: str
    offset: int | None = Field(None, ge=0)
    """Only page writes whose range contains this byte; with `longerThan`, only Get Page Ranges."""
    longer_than: int | None = Field(None, ge=0)
    """Only Get Page Ranges over more bytes than this; without a range, it is over the complete blob."""
    nth: int | None = Field(None, ge=1)
    """Only the nth call that matches (1-based)."""
    times: int | None = Field(None, ge=1)
    """The most hits."""
    action: Action

    @field_validator("path")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


@dataclass
class _Counted:
    rule: FaultRule
    seen: int = 0
    hits: int = 0

    def matches(
        self,
        service: Service,
        method: str,
        path_and_query: str,
        kind: Kind | None,
        span: Span | None,
        listed: Span | None,
    ) -> bool:
        rule = self.rule
        if rule.longer_than is not None:
            span = listed if listed and listed[1] > rule.longer_than else None
            if span is None:
                return False
        if rule.offset is not None and not (span and span[0] <= rule.offset < span[0] + span[1]):
            return False
        return (
            rule.service == service
            and (rule.method is None or rule.method.upper() == method.upper())
            and (kind is None or rule.action.kind == kind)
            and re.search(rule.path, path_and_query, re.IGNORECASE) is not None
        )

    def applies(self) -> bool:
        rule = self.rule
        return (rule.nth is None or self.seen == rule.nth) and (rule.times is None or self.hits < rule.times)


@dataclass
class Faults:
    """The active rules, in order, with their counts."""

    _counted: list[_Counted] = field(default_factory=list)

    def match(
        self,
        service: Service,
        method: str,
        path_and_query: str,
        kind: Kind | None = None,
        span: Span | None = None,
        listed: Span | None = None,
    ) -> Action | None:
        """Return the action of the first rule that applies to this call, or None.

        `kind` selects rules of that kind, so that a rule about copies does not count other calls for its `nth` and
        `times`; `span` is the range of a page write, `listed` that of Get Page Ranges. Call it once per call and kind,
        because it counts.
        """
        found: Action | None = None
        for counted in self._counted:
            if counted.matches(service, method, path_and_query, kind, span, listed):
                counted.seen += 1
                if found is None and counted.applies():
                    counted.hits += 1
                    found = counted.rule.action
        return found

    def set(self, rules: Iterable[FaultRule]) -> None:
        """Replace all rules and reset their counts."""
        self._counted = [_Counted(rule) for rule in rules]

    def add(self, rules: Iterable[FaultRule]) -> None:
        """Append rules that are not active yet; the counts of existing rules are kept."""
        present = [counted.rule for counted in self._counted]
        self._counted += [_Counted(rule) for rule in rules if rule not in present]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the rules, each with `seen` (calls that matched) and `hits` (calls that the action was applied to)."""
        return [{**each.rule.to_json(), "seen": each.seen, "hits": each.hits} for each in self._counted]


@dataclass(frozen=True)
class Call:
    """One request and its response; `status` 0 is a cut connection.

    `path` includes the redacted query; `at` is the time of the response, in seconds since 1970."""

    service: Service
    method: str
    path: str
    status: int
    at: float
    offset: int | None = None
    length: int | None = None
    """The range of a page write, in bytes."""
    source: str = ""
    """The path of what a copy or a page write reads (x-ms-copy-source)."""


@dataclass
class Journal:
    """The latest calls of both services, oldest first."""

    _calls: deque[Call] = field(default_factory=lambda: deque(maxlen=_JOURNAL_LENGTH))

    def record(
        self, service: Service, method: str, path: str, status: int, span: Span | None = None, source: str = ""
    ) -> None:
        """Record a call after its response, without signatures in the query."""
        offset, length = span or (None, None)
        path = _SIGNATURE.sub(r"\1REDACTED", path) if "sig=" in path.lower() else path
        self._calls.append(Call(service, method, path, status, time.time(), offset, length, source))

    def calls(self) -> list[Call]:
        """Return the recorded calls, oldest first."""
        return list(self._calls)

    def clear(self) -> None:
        """Remove all calls."""
        self._calls.clear()

    def to_json(self) -> list[dict[str, Any]]:
        """Return the calls as JSON data."""
        return [dict(vars(call)) for call in self._calls]
