"""Injected latencies and faults, and the journal of calls, shared by the blob and the ARM server.

Owns: which rule meets which call, and how often. Refuses: carrying an action out; the server that was called does.
Counting is exact: each rule counts every call that its own pattern matches, whether or not another rule answers it.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

Service = Literal["blob", "arm"]
Kind = Literal["request", "copy", "image", "operation"]

Span = tuple[int, int]
"""A range of a blob: offset and length in bytes."""

_SIGNATURE = re.compile(r"(?i)([?&]sig=)[^&]*")
_JOURNAL_LENGTH = 100_000


class Document(BaseModel):
    """Base of the JSON formats of the embedded cloud: camelCase, unknown keys refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def to_json(self) -> dict[str, Any]:
        """The value as JSON data, as it was written: what was not given is left out."""
        return self.model_dump(by_alias=True, exclude_unset=True, mode="json")


class Latencies(Document):
    """How long the cloud takes, in seconds; the defaults finish everything at once."""

    copy_seconds: float = Field(0.0, ge=0)
    """A server-side copy's time, whatever its size."""
    copy_bytes_per_second: float | None = Field(None, gt=0)
    """Where given, a copy takes its source's length divided by this, on top of `copySeconds`."""
    page_seconds: float = Field(0.0, ge=0)
    """The time of each Put Page and Put Page From URL."""
    image_create_seconds: float = Field(0.0, ge=0)
    image_delete_seconds: float = Field(0.0, ge=0)
    vm_delete_seconds: float = Field(0.0, ge=0)
    disk_access_seconds: float = Field(0.0, ge=0)
    """Granting access to a disk, and revoking it."""

    def to_json(self) -> dict[str, Any]:
        """All latencies, also those that were not given."""
        return self.model_dump(by_alias=True, mode="json")


class OperationFailure(Document):
    """What an operation that was accepted ends with."""

    code: str
    message: str


class Action(Document):
    """What happens to a call that a rule meets; `delaySeconds` comes before the rest."""

    delay_seconds: float | None = Field(None, ge=0)
    drop: bool | Literal["after"] = False
    """Cut the connection: `true` before the call is carried out, `after`: its answer is lost."""
    corrupt: bool = False
    """Put Page From URL writes the range with one byte changed, and tells the digest of what it wrote."""
    status: int | None = Field(None, ge=300, le=599)
    code: str = "InjectedFault"
    message: str = "Injected by a fault rule of the embedded cloud."
    retry_after: int | None = Field(None, ge=0)
    copy_seconds: float | None = Field(None, ge=0)
    copy_fails: str | None = None
    copy_stalls: bool = False
    image_fails: OperationFailure | None = None
    operation_fails: OperationFailure | None = None
    """The deletion of a virtual machine, or a change of access to a disk, is accepted and fails."""

    @property
    def kind(self) -> Kind:
        """`copy`, `image` and `operation` actions shape the life of what a call began; `request` actions the call."""
        if self.image_fails:
            return "image"
        if self.operation_fails:
            return "operation"
        if self.copy_seconds is not None or self.copy_fails is not None or self.copy_stalls:
            return "copy"
        return "request"

    @model_validator(mode="after")
    def _one_kind(self) -> Action:
        about_call = bool(self.drop) or self.status is not None or self.delay_seconds is not None or self.corrupt
        about_copy = self.copy_seconds is not None or self.copy_fails is not None or self.copy_stalls
        failures = [self.image_fails is not None, self.operation_fails is not None]
        if [about_call, about_copy, *failures].count(True) != 1:
            raise ValueError(
                "an action is about a call (status, drop, delaySeconds, corrupt), or about a copy (copySeconds, "
                "copyFails, copyStalls), or about an image (imageFails), or about another operation (operationFails): "
                "give one of the four"
            )
        return self


class FaultRule(Document):
    """Which calls meet which action; `path` is a regular expression, searched in `path?query`, whatever the case."""

    name: str | None = None
    service: Service
    method: str | None = None
    path: str
    offset: int | None = Field(None, ge=0)
    """Only page writes whose range holds this byte."""
    nth: int | None = Field(None, ge=1)
    """Only the nth call that matches (1-based)."""
    times: int | None = Field(None, ge=1)
    """At most so many hits."""
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

    def meets(self, service: Service, method: str, path_and_query: str, kind: Kind | None, span: Span | None) -> bool:
        rule = self.rule
        if rule.offset is not None and not (span and span[0] <= rule.offset < span[0] + span[1]):
            return False
        return (
            rule.service == service
            and (rule.method is None or rule.method.upper() == method.upper())
            and (kind is None or rule.action.kind == kind)
            and re.search(rule.path, path_and_query, re.IGNORECASE) is not None
        )

    def strikes(self) -> bool:
        rule = self.rule
        return (rule.nth is None or self.seen == rule.nth) and (rule.times is None or self.hits < rule.times)


@dataclass
class Faults:
    """The rules in force, in order, with their counts."""

    _counted: list[_Counted] = field(default_factory=list)

    def match(
        self, service: Service, method: str, path_and_query: str, kind: Kind | None = None, span: Span | None = None
    ) -> Action | None:
        """The action of the first rule that strikes this call, or None.

        `kind` limits the question to rules of that kind, so that a rule about copies does not spend its `nth` and
        `times` on calls that are none; `span` is the range of a page write. Ask at most once per call and kind: asking
        counts.
        """
        struck: Action | None = None
        for counted in self._counted:
            if counted.meets(service, method, path_and_query, kind, span):
                counted.seen += 1
                if struck is None and counted.strikes():
                    counted.hits += 1
                    struck = counted.rule.action
        return struck

    def set(self, rules: Iterable[FaultRule]) -> None:
        """Put `rules` in the place of all rules; counts begin at zero."""
        self._counted = [_Counted(rule) for rule in rules]

    def add(self, rules: Iterable[FaultRule]) -> None:
        """Append the rules that are not in force yet; counts of the others go on."""
        present = [counted.rule for counted in self._counted]
        self._counted += [_Counted(rule) for rule in rules if rule not in present]

    def to_json(self) -> list[dict[str, Any]]:
        """The rules as they were given, each with `seen` (calls that matched) and `hits` (calls that were struck)."""
        return [{**each.rule.to_json(), "seen": each.seen, "hits": each.hits} for each in self._counted]


@dataclass(frozen=True)
class Call:
    """One request and how it was answered; `status` 0 is a connection that was cut.

    `path` has its query, redacted; `at` is the time of the answer, in seconds since 1970."""

    service: Service
    method: str
    path: str
    status: int
    at: float
    offset: int | None = None
    length: int | None = None
    """The range of a page write, in bytes."""


@dataclass
class Journal:
    """The latest calls of both services, oldest first."""

    _calls: deque[Call] = field(default_factory=lambda: deque(maxlen=_JOURNAL_LENGTH))

    def record(self, service: Service, method: str, path: str, status: int, span: Span | None = None) -> None:
        """Note a call when it is answered. Signatures in the query are not kept."""
        offset, length = span or (None, None)
        path = _SIGNATURE.sub(r"\1REDACTED", path) if "sig=" in path.lower() else path
        self._calls.append(Call(service, method, path, status, time.time(), offset, length))

    def calls(self) -> list[Call]:
        """All calls kept, oldest first."""
        return list(self._calls)

    def clear(self) -> None:
        """Forget all calls."""
        self._calls.clear()

    def to_json(self) -> list[dict[str, Any]]:
        """The calls as JSON data."""
        return [asdict(call) for call in self._calls]
